// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
)

// namespace has the apps of one namespace, as far as its monitors and the status depend on them.
type namespace struct {
	// plain is the number of accepted Services of which relabelings see everything.
	plain int
	// targets is the most that the accepted Services have for each Pod, and version changes with the Services and the number of Pods.
	targets int
	version uint64
	// limited are the accepted Services that cost more than that, of which as many are scraped as fit.
	limited [classes]limited
	// pods is the number of accepted Pods outside of the network of their node, hostPods of those in it, and host says why each of
	// the latter is rejected, by name; empty for one that is accepted where its namespace is allowed to have some.
	pods, hostPods int
	host           map[string]string
	// queries are those of Pods. Their Pods are not among pods.
	queries podQueries
	// services and podsSeen count the annotated apps, rejected or not, by what they request.
	servicesSeen, podsSeen seen
	// rejected apps but for those of host, and nearMisses of apps.
	rejected, nearMisses sorted
	// workloads that have the annotation of their template, by kind and name; workloadsVersion changes with them and with what the
	// answer to the question whether they are scraped all the same depends on.
	workloads        map[workload]bool
	workloadsVersion uint64
}

// shape is what the monitors of a namespace depend on, beside its special Services and the queries of its Pods.
type shape struct {
	plain, pods, hostPods bool
	services, podsSeen    scrape.Seen
}

func (n *namespace) shape() shape {
	return shape{n.plain > 0, n.podsThatFit() > 0, n.hostPods > 0, n.servicesSeen.any(), n.podsSeen.any()}
}

// seen counts apps by what they request.
type seen struct {
	slow, https, params, ipv6 int
	ports                     [mostPlaces + 1]int
}

// mostPlaces is the longest list of ports.
const mostPlaces = 8

func (s *seen) count(is scrape.Seen, by int) {
	for counter, requested := range map[*int]bool{&s.slow: is.Slow, &s.https: is.HTTPS, &s.params: is.Params, &s.ipv6: is.IPv6} {
		if requested {
			*counter += by
		}
	}
	s.ports[is.Ports] += by
}

// any is what one of the apps requests.
func (s *seen) any() scrape.Seen {
	sum := scrape.Seen{Slow: s.slow > 0, HTTPS: s.https > 0, Params: s.params > 0, IPv6: s.ipv6 > 0}
	for ports := range s.ports {
		if ports > 0 && s.ports[ports] > 0 {
			sum.Ports = ports
		}
	}
	return sum
}

func newNamespace() *namespace {
	ns := &namespace{host: map[string]string{}, workloads: map[workload]bool{},
		queries: podQueries{of: map[scrape.PodQuery]*podQuery{}}}
	for class := range ns.limited {
		ns.limited[class].most = caps[class]
	}
	return ns
}

// empty is true for a namespace that need not be remembered.
func (n *namespace) empty() bool {
	return !n.scraped() && len(n.rejected)+len(n.host)+len(n.nearMisses)+len(n.workloads) == 0 // What does not fit is rejected.
}

// scraped is true when an app is accepted.
func (n *namespace) scraped() bool { return n.services() > 0 || n.podsThatFit() > 0 || n.hostPods > 0 }

// podsThatFit is the number of accepted Pods outside of the network of their node, but for those whose query has no place.
func (n *namespace) podsThatFit() int { return n.pods + n.queries.pods }

// services is the number of accepted Services that fit.
func (n *namespace) services() int {
	sum := n.plain
	for _, l := range n.limited {
		sum += l.fit
	}
	return sum
}

// count adds a verdict to the sums, or subtracts it.
func (n *namespace) count(a *App, v verdict, by int) {
	if v.accepted || v.rejection != nil {
		of := &n.podsSeen
		if a.kind == Service {
			of = &n.servicesSeen
		}
		of.count(v.seen, by)
	}
	switch {
	case v.rejection == nil && (!v.accepted || v.class != plain || v.query != scrape.PodQuery{}):
	case a.kind == HostPod:
		n.countHost(a, v, by)
	case v.rejection != nil && by > 0:
		n.reject(a, v.rejection.Reason)
	case v.rejection != nil:
		n.admit(a)
	case a.kind == Pod:
		n.pods += by
	default:
		n.plain += by
	}
}

func (n *namespace) countHost(a *App, v verdict, by int) {
	reason := ""
	if v.rejection != nil {
		reason = v.rejection.Reason
	} else {
		n.hostPods += by
	}
	if by > 0 {
		n.host[a.name] = reason
		return
	}
	delete(n.host, a.name)
}

// reject enters the rejection of an app, and returns whether it had none.
func (n *namespace) reject(a *App, reason string) bool {
	return n.rejected.put(v1alpha1.RejectedApp{Kind: string(a.kind), Namespace: a.namespace, Name: a.name, Reason: reason})
}

// admit takes the rejection of an app out, if there is one.
func (n *namespace) admit(a *App) {
	n.rejected.remove(v1alpha1.RejectedApp{Kind: string(a.kind), Namespace: a.namespace, Name: a.name})
}

// sorted are apps with a reason, sorted.
type sorted []v1alpha1.RejectedApp

// put enters an app, and returns whether it was not there.
func (s *sorted) put(entry v1alpha1.RejectedApp) bool {
	at, found := slices.BinarySearchFunc(*s, entry, byApp)
	if found {
		(*s)[at] = entry
		return false
	}
	*s = slices.Insert(*s, at, entry)
	return true
}

// remove takes an app out, if it is there.
func (s *sorted) remove(entry v1alpha1.RejectedApp) {
	if at, found := slices.BinarySearchFunc(*s, entry, byApp); found {
		*s = slices.Delete(*s, at, at+1)
	}
}

func byApp(one, other v1alpha1.RejectedApp) int {
	return cmp.Or(strings.Compare(one.Namespace, other.Namespace),
		strings.Compare(one.Kind, other.Kind), strings.Compare(one.Name, other.Name))
}

// refused returns at most so many of the rejected apps, and how many there are; host says whether Pods in the network of their node
// are allowed. behind are Services that are rejected because of their Pods.
func (n *namespace) refused(name string, host bool, behind []v1alpha1.RejectedApp, most int) ([]v1alpha1.RejectedApp, int) {
	listed, total := slices.Clone([]v1alpha1.RejectedApp(n.rejected[:min(len(n.rejected), most)])), len(n.rejected)+len(n.host)+len(behind)
	listed = append(listed, behind[:min(len(behind), most-len(listed))]...)
	if host {
		total -= n.hostPods
	}
	for _, pod := range slices.Sorted(maps.Keys(n.host)) {
		reason := n.host[pod]
		if reason == "" && host {
			continue
		}
		if len(listed) == most {
			break
		}
		listed = append(listed, v1alpha1.RejectedApp{Kind: string(Pod), Namespace: name, Name: pod,
			Reason: cmp.Or(reason, scrape.InHostNetwork.Reason)})
	}
	return listed, total
}
