// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

const (
	// mostTargets is how many bytes of an answer about targets are read. A target has 2 to 4 KiB, most of them labels of discovery, which
	// repeat the annotations that its user wrote.
	mostTargets = 64 << 20
	// mostDown is how many apps of a namespace whose targets are down are kept: as many as the status lists.
	mostDown = 20
	// longestError bounds what is kept of why a target is down, in bytes, and longestName the name of an app.
	longestError = 300
	longestName  = 253
)

// Kinds of apps.
const (
	kindService = "Service"
	kindPod     = "Pod"
)

// Pool is a scrape pool, as prometheus-operator names it after a monitor.
type Pool struct {
	// Kind of the app whose targets it has: Service or Pod.
	Kind string
	// Namespace and Monitor are of the monitor.
	Namespace, Monitor string
}

// parsePool reads a name like serviceMonitor/NAMESPACE/NAME/0.
func parsePool(name string) (Pool, bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 {
		return Pool{}, false
	}
	kinds := map[string]string{"serviceMonitor": kindService, "podMonitor": kindPod}
	kind, known := kinds[parts[0]]
	return Pool{Kind: kind, Namespace: parts[1], Monitor: parts[2]}, known
}

// Scraped is what is known of the targets of the operator's monitors, by namespace. What is kept of it has a bound, whatever users write.
type Scraped struct {
	Namespaces map[string]*NamespaceTargets
	// Source says who knows it, for messages, such as Prometheus monitoring/k8s.
	Source string
	// Roughly is true where it comes from the series up of a store: it has no errors, and no targets without a sample.
	Roughly bool
	// Lasting is true where the next survey need not ask for targets first: there is no such API, or its answer is too large.
	Lasting bool
	// Loaded are the namespaces whose monitors are in the configuration of who scrapes; nil where that was not asked.
	Loaded map[string]bool
}

// NamespaceTargets are those of one namespace.
type NamespaceTargets struct {
	// Up and Down count targets. Pending are those that have not been scraped yet.
	Up, Down, Pending int
	// DownApps are the first apps with a target that is down, by kind and name, and DownTotal is their number.
	DownApps  []DownApp
	DownTotal int
}

// DownApp is an app with a target that is down.
type DownApp struct {
	Kind, Name string
	// Error is why, as Prometheus says it; empty where that is not known.
	Error string
}

// tally gathers the targets of an answer.
type tally struct {
	ours func(Pool) bool
	all  map[string]*NamespaceTargets
	down map[string]map[DownApp]string // By namespace; the key has no error.
}

func newTally(ours func(Pool) bool) *tally {
	return &tally{ours: ours, all: map[string]*NamespaceTargets{}, down: map[string]map[DownApp]string{}}
}

func (t *tally) of(namespace string) *NamespaceTargets {
	known := t.all[namespace]
	if known == nil {
		known = &NamespaceTargets{}
		t.all[strings.Clone(namespace)] = known
	}
	return known
}

// isDown enters an app. Of the errors of several targets the first one counts: which of them is scraped first must not show.
func (t *tally) isDown(namespace, kind, name, because string) {
	app := DownApp{Kind: kind, Name: bounds(name, longestName)}
	because = bounds(because, longestError)
	apps := t.down[namespace]
	if apps == nil {
		apps = map[DownApp]string{}
		t.down[namespace] = apps
	}
	if before, listed := apps[app]; !listed || because < before {
		apps[app] = because
	}
}

// bounds copies the beginning of a text: the answer that it is part of must not be kept for it.
func bounds(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most-3], "") + "..."
	}
	return strings.Clone(text)
}

// result is what the tally comes to.
func (t *tally) result() map[string]*NamespaceTargets {
	for namespace, apps := range t.down {
		known := t.of(namespace)
		known.DownTotal = len(apps)
		sorted := slices.SortedFunc(maps.Keys(apps), byKindAndName)
		for _, app := range sorted[:min(len(sorted), mostDown)] {
			app.Error = apps[app]
			known.DownApps = append(known.DownApps, app)
		}
	}
	return t.all
}

func byKindAndName(one, other DownApp) int {
	return strings.Compare(one.Kind+" "+one.Name, other.Kind+" "+other.Name)
}

// target is what is read of one.
type target struct {
	Pool   string `json:"scrapePool"`
	Labels struct {
		Namespace string `json:"namespace"`
		Service   string `json:"service"`
		Pod       string `json:"pod"`
	} `json:"labels"`
	Health string `json:"health"`
	Error  string `json:"lastError"`
}

// count enters a target. The namespace is that of the monitor, which can scrape no other.
func (t *tally) count(one target) {
	pool, known := parsePool(one.Pool)
	if !known || !t.ours(pool) {
		return
	}
	in := t.of(pool.Namespace)
	switch one.Health {
	case "up":
		in.Up++
	case "down":
		in.Down++
		name := one.Labels.Service
		if pool.Kind == kindPod {
			name = one.Labels.Pod
		}
		t.isDown(pool.Namespace, pool.Kind, name, one.Error)
	default:
		in.Pending++
	}
}

// readTargets reads an answer of /api/v1/targets, one target at a time: the whole may be large.
func readTargets(answer io.Reader, ours func(Pool) bool) (map[string]*NamespaceTargets, error) {
	t := newTally(ours)
	err := readList(answer, "activeTargets", func(decoder *json.Decoder) error {
		var one target
		if err := decoder.Decode(&one); err != nil {
			return err //nolint:wrapcheck // readList says what was read
		}
		t.count(one)
		return nil
	})
	return t.result(), err
}

// readPools reads an answer of /api/v1/scrape_pools, and returns the namespaces of those that are ours.
func readPools(answer io.Reader, ours func(Pool) bool) (map[string]bool, error) {
	loaded := map[string]bool{}
	err := readList(answer, "scrapePools", func(decoder *json.Decoder) error {
		var name string
		if err := decoder.Decode(&name); err != nil {
			return err //nolint:wrapcheck // readList says what was read
		}
		if pool, known := parsePool(name); known && ours(pool) {
			loaded[strings.Clone(pool.Namespace)] = true
		}
		return nil
	})
	return loaded, err
}

// errNoList means that an answer has another form than expected: what answers is not Prometheus, or has no such API.
var errNoList = errors.New("the answer has no list of them")

// readList calls item for each item of the list that {"data": {NAME: [...]}} has. It holds one item at a time.
func readList(answer io.Reader, name string, item func(*json.Decoder) error) error {
	decoder, found := json.NewDecoder(answer), false
	err := readObject(decoder, func(key string) error {
		if key != "data" {
			return skip(decoder)
		}
		return readObject(decoder, func(key string) error {
			if key != name {
				return skip(decoder)
			}
			if opening, err := decoder.Token(); err != nil || opening != json.Delim('[') {
				return errors.Join(errNoList, err)
			}
			for found = true; decoder.More(); {
				if err := item(decoder); err != nil {
					return err
				}
			}
			_, err := decoder.Token()
			return err //nolint:wrapcheck // see below
		})
	})
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", name, err)
	case !found:
		return errNoList
	}
	return nil
}

// readObject calls value for each key of an object.
func readObject(decoder *json.Decoder, value func(key string) error) error {
	opening, err := decoder.Token()
	if err != nil {
		return err //nolint:wrapcheck // readList says what was read
	}
	if opening != json.Delim('{') {
		return errNoList
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err //nolint:wrapcheck // readList says what was read
		}
		key, _ := token.(string)
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err //nolint:wrapcheck // readList says what was read
}

// skip reads past a value without holding it whole.
func skip(decoder *json.Decoder) error {
	for depth := 0; ; {
		token, err := decoder.Token()
		if err != nil {
			return err //nolint:wrapcheck // readList says what was read
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
