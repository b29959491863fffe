// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"slices"
	"strconv"
	"strings"

	"github.com/metricspipeline/operator/internal/text"
)

// Seen is what the apps of a namespace request that the monitors have endpoints or relabelings of their own for, or of one app.
type Seen struct {
	// Slow is true where an app is scraped less often, HTTPS where one has that scheme, Params where one has annotations that are
	// parameters.
	Slow, HTTPS, Params bool
	// IPv6 is true where a Service has addresses of that family, alone or beside IPv4.
	IPv6 bool
	// Ports is the longest list of ports; 0 for none.
	Ports int
}

// With returns what either requests.
func (s Seen) With(other Seen) Seen {
	return Seen{Slow: s.Slow || other.Slow, HTTPS: s.HTTPS || other.HTTPS, Params: s.Params || other.Params, IPv6: s.IPv6 || other.IPv6,
		Ports: max(s.Ports, other.Ports)}
}

// See returns what an app requests that is annotated for scraping, rejected or not.
func See(prefix string, annotations map[string]string) Seen {
	seen := Seen{Slow: slow(prefix, annotations), HTTPS: https(prefix, annotations), Params: len(paramsIn(prefix, annotations)) > 0}
	if request, rejection := Parse(prefix, annotations); rejection == nil && request.Listed {
		// Not how many are different: each has its place in the annotation.
		seen.Ports = strings.Count(annotations[prefix+"/"+annotationPort], ",") + 1
	}
	return seen
}

// https is true for an app whose annotation has that scheme.
func https(prefix string, annotations map[string]string) bool {
	return tlsScheme.MatchString(annotations[prefix+"/"+annotationScheme])
}

// listed are the ports of a list, by what a target is recognized by. No two stand for the same port, as far as the Service tells.
type listed struct {
	// numbers of ports of the Pods that ports of the Service lead to, names of other ports of the Service, and of containers' ports.
	numbers, names, containers []string
	// undeclared are further numbers. A target can be pointed at one of them only, so each needs an endpoint of its own.
	undeclared []string
}

func (l *listed) count() int {
	return len(l.numbers) + len(l.names) + len(l.containers) + len(l.undeclared)
}

// bytes are about what the ports take in the relabelings, beside the name of the Service in front of each.
func (l *listed) bytes(name string) int {
	sum := 0
	for _, ports := range [][]string{l.numbers, l.names, l.containers, l.undeclared} {
		for _, port := range ports {
			sum += len(name) + len(port)
		}
	}
	return sum + len(l.undeclared)*len(name)
}

// listWithParams rejects an app with a list of ports and parameters: each pair would be an endpoint of the monitor.
func listWithParams(prefix string, annotations map[string]string) *Rejection {
	key := prefix + "/" + annotationPort
	return reject("annotation %s is %q: an app with parameters cannot have a list of ports; annotate a Service for each port, or "+
		"leave the parameters out", key, text.Shorten(annotations[key], longestValue))
}

// listedOf finds the ports of a list among those of a Service.
func listedOf(requested []RequestedPort, ports []Port) *listed {
	found := &listed{}
	for _, port := range requested {
		to, want := &found.numbers, wanted(port, ports)
		switch {
		case want == "" && port.Number != 0:
			want = strconv.Itoa(int(port.Number)) // A port of the Pods.
		case want == "": // The name of a port of the Service.
			to, want = nameOrTarget(found, port.Name, ports)
		case strings.HasPrefix(want, wantContainerPort):
			to, want = &found.containers, strings.TrimPrefix(want, wantContainerPort)
		case strings.HasPrefix(want, wantRewrite):
			to, want = &found.undeclared, strings.TrimPrefix(want, wantRewrite)
		case portName.MatchString(want):
			to = &found.names
		}
		if !slices.Contains(*to, want) {
			*to = append(*to, want)
		}
	}
	return found
}

// nameOrTarget prefers the number that a port of the Service leads to, by which the port's other names are the same.
func nameOrTarget(found *listed, name string, ports []Port) (*[]string, string) {
	for _, port := range ports {
		if port.Name == name && port.Target != 0 {
			return &found.numbers, strconv.Itoa(int(port.Target))
		}
	}
	return &found.names, name
}
