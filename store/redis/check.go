package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// What this package needs: COPY, which is in a script, is as old as that.
const (
	oldestMajor = 6
	oldestMinor = 2
)

// Check reports whether Redis can be reached, is recent enough and lets the user of the client run the commands of a Store: on a
// cluster, every master. It warns, through Config.Logger, of a
// configuration that loses what a Store has answered for: eviction, or no persistence. Where Redis does not tell its configuration, as
// managed ones often do not, nothing is said about it. Call it when a service starts.
func (s *Store) Check(ctx context.Context) error {
	var findings []finding
	err := s.client.do(ctx, func(ctx context.Context, c goredis.UniversalClient) error {
		found, err := survey(ctx, c, s.cfg.Prefix)
		if err = errors.Join(err, ctx.Err()); err == nil {
			findings = found
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("redis: check: %w", err)
	}
	for _, f := range findings {
		if f.fatal {
			return errors.New("redis: check: " + f.text)
		}
	}
	for _, f := range findings {
		s.cfg.Logger.Log(ctx, f.level, "redis: "+f.text, "server", f.server)
	}
	return nil
}

// finding is what somebody should know about a server.
type finding struct {
	server string
	level  slog.Level
	text   string
	fatal  bool
}

func survey(ctx context.Context, c goredis.UniversalClient, prefix string) ([]finding, error) {
	switch c := c.(type) {
	case *goredis.ClusterClient:
		var mu sync.Mutex
		var all []finding
		err := c.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error { // in a goroutine for each
			found, err := inspect(ctx, node.Options().Addr, node, prefix)
			mu.Lock()
			all = append(all, found...)
			mu.Unlock()
			return err
		})
		return all, err
	case *goredis.Client:
		return inspect(ctx, c.Options().Addr, c, prefix)
	default:
		return inspect(ctx, "", c, prefix)
	}
}

// mayScript names the first command of the scripts that the user may not run. A script that is refused one in its middle leaves what it
// has written. Before Redis 7 nothing is known about it.
const mayScript = `
if not redis.acl_check_cmd then return '' end
local key = ARGV[1]
for _, command in ipairs({
  { 'HMGET', key, 'f' }, { 'HGET', key, 'f' }, { 'HGETALL', key }, { 'HLEN', key }, { 'GET', key }, { 'MGET', key }, { 'GETRANGE', key, '0', '1' }, { 'STRLEN', key }, { 'HINCRBY', key, 'f', '1' },
  { 'SET', key, 'v' }, { 'APPEND', key, 'v' }, { 'SETRANGE', key, '0', 'v' }, { 'COPY', key, key .. 'x', 'REPLACE' }, { 'RENAME', key .. 'x', key }, { 'ZADD', key, '1', 'm' },
  { 'HSET', key, 'f', 'v' }, { 'PTTL', key }, { 'PEXPIRE', key, '1' }, { 'EXISTS', key }, { 'ZRANGEBYSCORE', key, '0', '1' },
  { 'ZREVRANGEBYSCORE', key, '1', '0' }, { 'ZSCORE', key, 'm' }, { 'RPUSH', key, 'v' }, { 'SADD', key, 'm' },
}) do
  if not redis.acl_check_cmd(unpack(command)) then return command[1] end
end
return ''`

// inspect looks at one server.
func inspect(ctx context.Context, server string, c goredis.Cmdable, prefix string) (found []finding, err error) {
	note := func(level slog.Level, format string, args ...any) {
		found = append(found, finding{server: server, level: level, text: fmt.Sprintf(format, args...)})
	}
	info, err := c.Info(ctx, "server").Result()
	switch {
	case forbidden(err):
		note(slog.LevelDebug, "its version is not known: %v", err)
	case err != nil:
		return nil, err
	default:
		version := field(info, "redis_version")
		if old, known := older(version); old {
			found = append(found, finding{server: server, fatal: true,
				text: fmt.Sprintf("the server at %s is Redis %s: %d.%d or later is needed", server, version, oldestMajor, oldestMinor)})
		} else if !known {
			note(slog.LevelDebug, "its version %q is not known", version)
		}
	}
	command, err := c.Eval(ctx, mayScript, nil, prefix+"{#check}").Text()
	if err != nil {
		return nil, err
	}
	if command != "" {
		found = append(found, finding{server: server, fatal: true, text: fmt.Sprintf(
			"the user of the client may not run %s at %s: it needs +@read +@write +@scripting +@connection on all keys of the prefix", command, server)})
	}
	settings := make(map[string]string)
	for _, name := range [...]string{"maxmemory-policy", "appendonly", "save"} { // Redis 6 takes one name at a time
		got, err := c.ConfigGet(ctx, name).Result()
		if forbidden(err) {
			note(slog.LevelDebug, "its configuration is not known: %v", err)
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		value, known := got[name]
		if !known {
			note(slog.LevelDebug, "its setting %s is not known", name)
			return found, nil
		}
		settings[name] = value
	}
	switch policy := settings["maxmemory-policy"]; {
	case strings.HasPrefix(policy, "allkeys-"):
		note(slog.LevelWarn, "maxmemory-policy is %s: when the memory is full, events are dropped. Set it to noeviction", policy)
	case strings.HasPrefix(policy, "volatile-"):
		note(slog.LevelWarn, "maxmemory-policy is %s: when the memory is full, idempotency keys are dropped before their window is over, "+
			"and a request that is sent again is counted again. Set it to noeviction", policy)
	}
	if settings["appendonly"] == "no" && settings["save"] == "" {
		note(slog.LevelWarn, "nothing is written to the disk: a restart loses all events. Set appendonly to yes")
	}
	return found, nil
}

// forbidden reports that Redis has answered, but refuses this command: managed ones do not have every one.
func forbidden(err error) bool {
	var answered goredis.Error
	return errors.As(err, &answered) && !passing(err) && !says(err, "NOAUTH") && !says(err, "WRONGPASS")
}

// field returns a line of INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// older reports a version that is too old, and whether it could be read.
func older(version string) (old, known bool) {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(first)
	if err != nil {
		return false, false
	}
	minor, err := strconv.Atoi(second)
	if err != nil {
		return false, false
	}
	return major < oldestMajor || major == oldestMajor && minor < oldestMinor, true
}
