package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/humanhours/humanhours-go/store/redis"
)

const redisForms = `Redis ` + "`URL`" + ` to keep the data in instead of a file, shared by any number of servers:
redis://[user:password@]host:6379/0, or rediss:// for TLS;
redis://host1:7000,host2:7000,host3:7000 for a cluster, of which one node is enough;
redis://host1:26379,host2:26379?master_name=NAME for Sentinel, with &username= and &password= of the servers behind it`

// redisTimeout is how long a start waits for Redis.
const redisTimeout = 5 * time.Second

// openRedis opens the Redis of -redis and makes sure that it is there.
func openRedis(ctx context.Context, w where, logger *slog.Logger) (*backend, error) {
	client, err := redisClient(ctx, w.redis)
	if err != nil {
		return nil, err
	}
	s, err := redis.New(client, redis.Config{Prefix: w.prefix, Logger: logger})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	limiter, err := redis.NewLimiter(client, redis.LimiterConfig{Prefix: w.prefix, OnFailure: redis.FallbackLocal, Logger: logger})
	if err != nil {
		return nil, errors.Join(err, s.Close(), client.Close())
	}
	// What is under way in the store and the limiter needs the client.
	closeAll := func() error { return errors.Join(s.Close(), limiter.Close(), client.Close()) }
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if err := s.Check(ctx); err != nil {
		_ = closeAll()
		return nil, fmt.Errorf("the Redis at %s cannot be used: %s", redisAddress(w.redis), oneLine(err))
	}
	return &backend{
		events: s, orgs: s, keys: s, limiter: limiter, close: closeAll,
		where:  fmt.Sprintf("in Redis at %s, in keys that begin with %s", redisAddress(w.redis), w.prefix),
		create: w, hasKeys: s.HasKeys,
	}, nil
}

// redisClient makes a client of what a URL names, which has answered.
func redisClient(ctx context.Context, text string) (goredis.UniversalClient, error) {
	client, single, err := parseRedis(text)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	err = client.Ping(ctx).Err()
	if err == nil && single != nil {
		// The URL of one node of a cluster looks like that of a single server.
		if info, err := client.Info(ctx, "cluster").Result(); err == nil && strings.Contains(info, "cluster_enabled:1") {
			_ = client.Close()
			client = goredis.NewClusterClient(clusterOf(single))
		}
		return client, nil
	}
	var answered goredis.Error
	switch {
	case err == nil:
		return client, nil
	case errors.As(err, &answered):
		err = fmt.Errorf("the Redis at %s refuses: %s; check the user, the password and the number of the database in -redis", redisAddress(text), oneLine(err))
	default:
		err = fmt.Errorf("the Redis at %s cannot be reached: %s; start it, or give the address of another one with -redis",
			redisAddress(text), oneLine(err))
	}
	return nil, errors.Join(err, client.Close())
}

// errRedisURL has nothing of the URL in it: what is wrong may be a part of the password.
var errRedisURL = errors.New("the URL of -redis cannot be read: it is like redis://user:password@host:6379/0, " +
	"and a character such as /, #, ? or @ of a password is written as %2F, %23, %3F or %40; see -help")

// parseRedis makes a client of a URL, with its options if it is of a single server.
func parseRedis(text string) (goredis.UniversalClient, *goredis.Options, error) {
	first, several, err := splitHosts(text)
	if err != nil {
		return nil, nil, errRedisURL
	}
	u, err := url.Parse(first)
	switch {
	case err != nil || u.Hostname() == "" && u.Scheme != "unix":
	case u.Query().Has("master_name"):
		options, err := goredis.ParseFailoverURL(first)
		if err != nil {
			return nil, nil, errRedisURL
		}
		options.ContextTimeoutEnabled = true
		orDefault(&options.DialTimeout, &options.ReadTimeout)
		return goredis.NewFailoverClient(options), nil, nil
	case several:
		options, err := goredis.ParseClusterURL(first)
		if err != nil {
			return nil, nil, errRedisURL
		}
		options.ContextTimeoutEnabled = true
		orDefault(&options.DialTimeout, &options.ReadTimeout)
		return goredis.NewClusterClient(options), nil, nil
	default:
		options, err := goredis.ParseURL(first)
		if err != nil {
			return nil, nil, errRedisURL
		}
		options.ContextTimeoutEnabled = true
		orDefault(&options.DialTimeout, &options.ReadTimeout)
		return goredis.NewClient(options), options, nil
	}
	return nil, nil, errRedisURL
}

// orDefault sets what a URL does not say: below the timeout of a call of the store, so that a call can try another connection.
func orDefault(dial, read *time.Duration) {
	if *dial == 0 {
		*dial = time.Second
	}
	if *read == 0 {
		*read = 2 * time.Second // and writes follow it
	}
}

// clusterOf are the options of the cluster that a node belongs to.
func clusterOf(o *goredis.Options) *goredis.ClusterOptions {
	return &goredis.ClusterOptions{
		Addrs: []string{o.Addr}, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, Protocol: o.Protocol,
		ClientName: o.ClientName, ContextTimeoutEnabled: true, DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout,
		WriteTimeout: o.WriteTimeout, PoolSize: o.PoolSize, PoolTimeout: o.PoolTimeout,
	}
}

// hosts finds the part of a URL that names the servers.
func hosts(text string) (from, to int, ok bool) {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return 0, 0, false
	}
	from, to = len(text)-len(rest), len(text)
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		to = from + end
	}
	if at := strings.LastIndexByte(text[from:to], '@'); at >= 0 {
		from += at + 1
	}
	return from, to, true
}

// splitHosts moves all addresses but the first to where go-redis looks for them.
func splitHosts(text string) (first string, several bool, err error) {
	from, to, ok := hosts(text)
	if !ok {
		return "", false, errRedisURL
	}
	list := strings.Split(text[from:to], ",")
	if len(list) == 1 {
		return text, false, nil
	}
	query := make(url.Values)
	for _, host := range list[1:] {
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "6379")
		}
		query.Add("addr", host)
	}
	first = text[:from] + list[0] + text[to:]
	separator := "?"
	if strings.Contains(text[to:], "?") {
		separator = "&"
	}
	return first + separator + query.Encode(), true, nil
}

// redisAddress is what a URL names, without anything that is nobody's business.
func redisAddress(text string) string {
	from, to, _ := hosts(text)
	if from == to { // a socket
		path, _, _ := strings.Cut(text[to:], "?")
		return path
	}
	return text[from:to]
}

// redacted is a URL to be printed: whoever pastes it puts the passwords in.
func redacted(text string) string {
	from, to, _ := hosts(text)
	scheme, rest, _ := strings.Cut(text[:from], "://")
	if user, _, ok := strings.Cut(rest, ":"); ok {
		rest = user + ":PASSWORD@"
	}
	path, query, ok := strings.Cut(text[to:], "?")
	if ok {
		parameters := strings.Split(query, "&")
		for i, p := range parameters {
			if strings.HasPrefix(p, "password=") {
				parameters[i] = "password=PASSWORD"
			}
		}
		path += "?" + strings.Join(parameters, "&")
	}
	return scheme + "://" + rest + text[from:to] + path
}

// oneLine is an error as a part of a sentence.
func oneLine(err error) string { return strings.Join(strings.Split(err.Error(), "\n"), ": ") }
