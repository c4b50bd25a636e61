package humanhours

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// orgSettings is the snapshot of an org that a Tracker works with: valid, rounded, with its plan looked up. It is
// shared by requests and never written.
type orgSettings struct {
	Org
	plan Plan
	rate HourlyRate // of agents that have none of their own
}

// orgCache remembers snapshots for Config.OrgCacheTTL.
type orgCache struct {
	mu    sync.RWMutex
	byID  map[string]cachedOrg
	drops int64 // counts invalidations, so that a read that was under way does not bring the old snapshot back
}

type cachedOrg struct {
	org   *orgSettings
	until time.Time
}

func (c *orgCache) init() { c.byID = make(map[string]cachedOrg) }

// maxCachedOrgs bounds the cache: what is over is forgotten all at once, which costs one read per org.
const maxCachedOrgs = 100_000

func (c *orgCache) drop(id string) {
	c.mu.Lock()
	delete(c.byID, id)
	c.drops++
	c.mu.Unlock()
}

// org returns the settings of the caller's org.
func (t *Tracker) org(ctx context.Context, c Caller) (*orgSettings, error) {
	id := c.Org
	if id == "" {
		id = t.cfg.DefaultOrg
	}
	if len(id) > MaxOrgLength {
		return nil, invalid("org", "must be at most 255 bytes")
	}
	cache := &t.orgs
	cache.mu.RLock()
	hit, ok := cache.byID[id]
	drops := cache.drops
	cache.mu.RUnlock()
	now := t.cfg.Clock()
	if ok && now.Before(hit.until) {
		return hit.org, nil
	}
	org, err := t.loadOrg(ctx, id)
	if err != nil {
		return nil, err
	}
	if t.cfg.OrgCacheTTL > 0 {
		cache.mu.Lock()
		if cache.drops == drops {
			if len(cache.byID) >= maxCachedOrgs {
				clear(cache.byID)
			}
			cache.byID[id] = cachedOrg{org: org, until: now.Add(t.cfg.OrgCacheTTL)}
		}
		cache.mu.Unlock()
	}
	return org, nil
}

func (t *Tracker) loadOrg(ctx context.Context, id string) (*orgSettings, error) {
	found := false
	var org Org
	if t.cfg.Orgs != nil {
		var err error
		if org, found, err = t.cfg.Orgs.Org(ctx, id); err != nil {
			return nil, unavailable("the org store", err)
		}
	}
	if !found {
		org = t.cfg.OrgDefaults // never written: normalize has run in New
	} else if err := org.normalize(); err != nil {
		// The text alone: with err in the chain, errors.Is would call the caller's request invalid.
		return nil, &Error{Code: CodeInternal, Message: "the stored settings of the org are not valid", Err: errors.New(err.Error())}
	}
	org.ID = id
	plan, ok := t.cfg.Plans[org.Plan]
	if !ok && org.Plan != "" {
		return nil, &Error{Code: CodeInternal, Message: "the org's plan " + org.Plan + " is not in Config.Plans"}
	}
	return &orgSettings{Org: org, plan: plan, rate: org.settings().Rate}, nil
}

// UpdateOrg changes the settings of an org (empty: Config.DefaultOrg) through Config.Orgs, after Org.Validate. An org that
// is not stored yet starts from Config.OrgDefaults. The change shows in this Tracker at once, in other processes within
// their OrgCacheTTL, and only in events that are tracked from then on. See OrgStore.UpdateOrg for f.
func (t *Tracker) UpdateOrg(ctx context.Context, id string, f func(*Org) ([]Change, error)) (Org, error) {
	if t.cfg.Orgs == nil {
		return Org{}, &Error{Code: CodeInternal, Message: "UpdateOrg needs Config.Orgs"}
	}
	if id == "" {
		id = t.cfg.DefaultOrg
	}
	var refusal error // what f or validation said, to be told from a store that broke
	org, err := t.cfg.Orgs.UpdateOrg(ctx, id, func(org *Org) (changes []Change, err error) {
		if org.Version == 0 {
			// The first update starts from what was in force, or it would lift the limits of the default plan.
			id := org.ID
			*org = t.cfg.OrgDefaults.Clone()
			org.ID = id
		}
		if changes, err = f(org); err == nil {
			err = org.normalize()
		}
		if _, ok := t.cfg.Plans[org.Plan]; err == nil && !ok && org.Plan != "" {
			err = invalid("plan", "must be one of "+strings.Join(slices.Sorted(maps.Keys(t.cfg.Plans)), ", "))
		}
		refusal = err
		return changes, err
	})
	t.orgs.drop(id)
	switch {
	case refusal != nil:
		return Org{}, refusal
	case err != nil:
		e := unavailable("the org store", err)
		e.Hint = "Nothing is half-written, but the change may have been made: look before you repeat it."
		return Org{}, e
	}
	return org, nil
}
