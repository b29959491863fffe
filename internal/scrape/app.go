// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"net/url"
	"strconv"
)

// Port is a port of a Service.
type Port struct {
	// Name of the port; empty where it has none.
	Name string
	// Number that the Service listens on.
	Number int32
	// Target is the number of the Pods' port; 0 where TargetName gives its name.
	Target     int32
	TargetName string
	// NotTCP is true for another protocol, of which no target is made.
	NotTCP bool
}

// App is an annotated Service, as far as the grammar reads it.
type App struct {
	// Namespace and Name of the Service.
	Namespace, Name string
	// Annotations below the prefix.
	Annotations map[string]string
	// External is true for type ExternalName, Selectorless for a Service that selects no Pods itself.
	External, Selectorless bool
	// Ports of the Service.
	Ports []Port
}

// choice says how the relabelings of a grouped monitor find an app's port. The zero choice reads the annotation; any other
// must be written into the monitor, because relabelings do not see it.
type choice struct {
	// wanted replaces the annotation, in the forms that the relabelings know: a number or the name of a port of the Service,
	// c/NAME for a container's port, r/NUMBER for an undeclared port.
	wanted string
	// params are written into the monitor's endpoint, not into a label.
	params url.Values
	// anyAddress accepts an address that is not a Pod's.
	anyAddress bool
	// everyPort is true where the annotations name no port, so that each TCP port is meant.
	everyPort bool
	// listed are the ports of a list; nil for none.
	listed *listed
	// slow is true for an app that is scraped less often, https for one with that scheme.
	slow, https bool
}

// group returns the endpoint that the app is in, or the first of a list's.
func (c choice) group() group {
	return group{params: c.params.Encode(), anyAddress: c.anyAddress, slow: c.slow}
}

// plain is true where relabelings see everything.
func (c choice) plain() bool {
	return c.wanted == "" && c.listed == nil && c.params == nil && !c.anyAddress
}

const (
	wantContainerPort = "c/"
	wantRewrite       = "r/"
)

// Special is what a Service costs: targets, and what a namespace's monitor must have of it because relabelings cannot see it.
type Special struct {
	// Targets that it has for each Pod behind it, at most.
	Targets int
	// Query of its path; empty for none. The Services of one query share an endpoint of the monitor, which is a scrape pool of
	// Prometheus.
	Query string
	// Bytes that it adds to the monitor, about; 0 for a Service of which relabelings see everything.
	Bytes int
}

// Classify applies the grammar to a Service that is annotated for scraping. selectorless says whether Services without a selector
// are allowed.
func Classify(app App, prefix string, selectorless bool) (Special, *Rejection) {
	picked, rejection := classify(app, prefix, selectorless)
	if rejection != nil {
		return Special{}, rejection
	}
	special := Special{Query: picked.params.Encode(), Targets: 1}
	switch {
	case picked.everyPort:
		special.Targets = len(targetsOf(app.Ports))
	case picked.listed != nil:
		special.Targets = picked.listed.count()
	}
	if picked.plain() {
		return special, nil
	}
	if picked.slow && special.Query != "" {
		special.Query = annotationSlow + "&" + special.Query // An endpoint of its own.
	}
	// The name is in the endpoint that has the Service, in the one that does not, and beside the port that replaces its annotation.
	special.Bytes = 3*len(app.Name) + len(picked.wanted) + len(special.Query)
	if picked.listed != nil {
		special.Bytes += picked.listed.bytes(app.Name)
	}
	return special, nil
}

func classify(app App, prefix string, selectorless bool) (choice, *Rejection) {
	if app.External {
		return choice{}, reject("a Service of type ExternalName has no endpoints; " +
			"scrape what it leads to by a monitor of its own")
	}
	if app.Selectorless && !selectorless {
		return choice{}, reject("a Service without a selector could lead Prometheus to any address by hand-made " +
			"endpoints; give it a selector, or allow it in spec.scrape.selectorlessServices")
	}
	if len(app.Ports) == 0 {
		return choice{}, reject("a Service without a port has no endpoints that Prometheus discovers; " +
			"give it a port, or annotate its Pods")
	}
	if len(app.Ports) > mostPorts {
		return choice{}, reject("a Service with more than %d ports is not scraped: each is a target for each of its Pods; "+
			"make a Service of its own for the port of the metrics", mostPorts)
	}
	request, rejection := Parse(prefix, app.Annotations)
	if rejection != nil {
		return choice{}, rejection
	}
	picked := choice{params: request.Params, anyAddress: app.Selectorless, everyPort: len(request.Ports) == 0,
		slow: slow(prefix, app.Annotations), https: https(prefix, app.Annotations)}
	switch {
	case request.Listed && request.Params != nil:
		return choice{}, listWithParams(prefix, app.Annotations)
	case request.Listed:
		picked.listed = listedOf(request.Ports, app.Ports)
	case len(request.Ports) > 0:
		picked.wanted = wanted(request.Ports[0], app.Ports)
	}
	return picked, nil
}

// targetsOf returns the TCP ports of Pods that the ports of a Service lead to, each once: two ports that lead to the same one are
// one target.
func targetsOf(ports []Port) map[Port]bool {
	targets := map[Port]bool{}
	for _, port := range ports {
		if !port.NotTCP {
			targets[Port{Target: port.Target, TargetName: port.TargetName}] = true
		}
	}
	return targets
}

// wanted returns the port in the form of the relabelings, or nothing where they can read the annotation: it is the name of a port of
// the Service or the number of a target port.
func wanted(requested RequestedPort, ports []Port) string {
	if requested.Number != 0 {
		return wantedNumber(requested.Number, ports)
	}
	for _, port := range ports {
		if port.Name == requested.Name {
			return ""
		}
	}
	return wantContainerPort + requested.Name
}

func wantedNumber(number int32, ports []Port) string {
	for _, port := range ports {
		if port.Target == number {
			return ""
		}
	}
	for _, port := range ports {
		if port.Number != number {
			continue
		}
		if port.Target != 0 {
			return strconv.Itoa(int(port.Target))
		}
		if port.Name != "" {
			return port.Name
		}
		// The only port of its Service: the API server demands names of several.
		return wantContainerPort + port.TargetName
	}
	return wantRewrite + strconv.Itoa(int(number))
}
