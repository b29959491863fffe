// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/internal/scrape"
)

// class is a reason for which a Service costs more than relabelings that read its annotations.
type class int

const (
	// plain is for Services that do not.
	plain class = iota - 1
	// queries is for Services whose path has a query: each query is a scrape pool of its own.
	queries
	// ports is for Services whose port has to be written into the monitor.
	ports
	// each is for all Services where each has a monitor of its own.
	each
	classes = iota - 1
)

// most is how much of a class a namespace may have. Prometheus' whole configuration must fit into one Secret, of at most 1 MiB when
// it is compressed, and a monitor into an object of the API server: without a limit one namespace can freeze the configuration for
// all.
type most struct {
	// apps, different queries, and bytes; 0 for no limit.
	apps, queries, bytes int
	// rejection of the apps that do not fit.
	rejection *scrape.Rejection
}

var caps = [classes]most{
	queries: {apps: 100, queries: 10, bytes: 8 << 10, rejection: &scrape.Rejection{Reason: "the namespace's older Services have used up " +
		"what its monitor may have of queries: 10 different ones, 100 Services, 8 KiB; leave the query out of the path, or use that of " +
		"another Service"}},
	ports: {apps: 200, bytes: 16 << 10, rejection: &scrape.Rejection{Reason: "the namespace's older Services have used up what its " +
		"monitor may have of ports that are not in the annotation: 200 Services, 16 KiB; annotate the name or the target port of one of " +
		"the Service's ports"}},
	each: {apps: 200, bytes: 24 << 10, rejection: &scrape.Rejection{Reason: "the namespace's older Services have used up what it may " +
		"have of monitors: 200, and 24 KiB of queries and of ports that are not in the annotation; leave them out, or have an " +
		"administrator set spec.scrape.granularity to Namespace"}},
}

// special is a Service of a class.
type special struct {
	app  *App
	cost scrape.Special
}

// limited are the Services of a class, oldest first: a new one never displaces another.
type limited struct {
	most
	apps []special
	// fit is how many of the first ones fit.
	fit int
}

func older(one, other special) int {
	return cmp.Or(cmp.Compare(one.app.details.created, other.app.details.created), strings.Compare(one.app.name, other.app.name))
}

// change takes an app out, puts another in, and returns those that no longer fit and those that do now. Either app may be nil. It
// looks at the apps about the limit alone.
func (l *limited) change(out, in *App, cost scrape.Special) (over, under []*App) {
	gone, come, fitted := len(l.apps), len(l.apps), l.fit
	if out != nil {
		if at, found := slices.BinarySearchFunc(l.apps, special{app: out}, older); found {
			l.apps, gone = slices.Delete(l.apps, at, at+1), at
		}
	}
	if in != nil {
		entry := special{app: in, cost: cost}
		come, _ = slices.BinarySearchFunc(l.apps, entry, older)
		l.apps = slices.Insert(l.apps, come, entry)
	}
	l.fit = l.count()
	for i := max(0, min(l.fit, fitted)-1); i < min(len(l.apps), max(l.fit, fitted)+1); i++ {
		was := i
		if i > come {
			was--
		}
		if was >= gone {
			was++
		}
		switch fitted := was < fitted && i != come; {
		case fitted && i >= l.fit, i == come && i >= l.fit:
			over = append(over, l.apps[i].app)
		case !fitted && i < l.fit && i != come:
			under = append(under, l.apps[i].app)
		}
	}
	if in != nil && come > max(l.fit, fitted) {
		over = append(over, in)
	}
	return over, under
}

// count returns how many fit. It looks at those and one more.
func (l *limited) count() int {
	bytes, known := 0, map[string]bool{}
	for i, s := range l.apps {
		bytes += s.cost.Bytes
		known[s.cost.Query] = true
		if l.most.apps > 0 && i >= l.most.apps || l.queries > 0 && len(known) > l.queries || l.bytes > 0 && bytes > l.bytes {
			return i
		}
	}
	return len(l.apps)
}

// fitting returns the apps that fit.
func (l *limited) fitting() []special { return l.apps[:l.fit] }
