// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const prefix = "prometheus.io"

var config = Config{Prefix: prefix, Pods: true}

func annotated(values ...string) map[string]string {
	set := map[string]string{prefix + "/scrape": "true"}
	for i := 0; i < len(values); i += 2 {
		set[prefix+"/"+values[i]] = values[i+1]
	}
	return set
}

// A Pod with two containers: one with two ports, and a sidecar with one.
func webPod(name, ip string, annotations map[string]string) testPod {
	return testPod{name: name, ip: ip, annotations: annotations, containers: []testContainer{
		{name: "setup", init: true, ports: []testPort{{"init", 7000, "TCP"}}},
		{name: "app", ports: []testPort{{"http", 8080, "TCP"}, {"metrics", 9090, "TCP"}, {"gossip", 9091, "UDP"}}},
		{name: "proxy", ports: []testPort{{"admin", 15000, "TCP"}}},
	}}
}

// The Service in front of it: http (80 to 8080), and admin (8081 to the named port).
var webPorts = []Port{{Name: "http", Number: 80, Target: 8080}, {Name: "admin", Number: 8081, TargetName: "admin"}}

var webEndpoints = []testPort{{"http", 8080, "TCP"}, {"admin", 15000, "TCP"}}

func TestServicesAreScrapedExactlyOnce(t *testing.T) {
	const pod = "http://10.0.0.1:"
	for name, c := range map[string]struct {
		annotations map[string]string
		want        []string
	}{
		"no port: every port of the Service": {annotated(), []string{
			pod + "15000/metrics service=web pod=web-0 container=proxy endpoint=15000",
			pod + "8080/metrics service=web pod=web-0 container=app endpoint=8080"}},
		"the number of a target":            {annotated("port", "8080"), []string{pod + "8080/metrics service=web pod=web-0 container=app endpoint=8080"}},
		"the number of the Service's port":  {annotated("port", "80"), []string{pod + "8080/metrics service=web pod=web-0 container=app endpoint=8080"}},
		"that of one with a named target":   {annotated("port", "8081"), []string{pod + "15000/metrics service=web pod=web-0 container=proxy endpoint=15000"}},
		"the name of the Service's port":    {annotated("port", "admin"), []string{pod + "15000/metrics service=web pod=web-0 container=proxy endpoint=15000"}},
		"the name of a container's port":    {annotated("port", "metrics"), []string{pod + "9090/metrics service=web pod=web-0 container=app endpoint=9090"}},
		"a container's port by number":      {annotated("port", "9090"), []string{pod + "9090/metrics service=web pod=web-0 endpoint=9090"}},
		"an undeclared port":                {annotated("port", "7777"), []string{pod + "7777/metrics service=web pod=web-0 endpoint=7777"}},
		"a port that nothing is called":     {annotated("port", "nothing"), nil},
		"a container's UDP port":            {annotated("port", "gossip"), nil},
		"path without a slash":              {annotated("port", "80", "path", "stats"), []string{pod + "8080/stats service=web pod=web-0 container=app endpoint=8080"}},
		"path with a slash":                 {annotated("port", "80", "path", "/a/b"), []string{pod + "8080/a/b service=web pod=web-0 container=app endpoint=8080"}},
		"the root":                          {annotated("port", "80", "path", "/"), []string{pod + "8080/ service=web pod=web-0 container=app endpoint=8080"}},
		"a query":                           {annotated("port", "80", "path", "/f?x=1"), []string{pod + "8080/f?map[x:[1]] service=web pod=web-0 container=app endpoint=8080"}},
		"https":                             {annotated("port", "80", "scheme", "HTTPS"), []string{"https://10.0.0.1:8080/metrics service=web pod=web-0 container=app endpoint=8080"}},
		"another spelling of true":          {map[string]string{prefix + "/scrape": "Yes", prefix + "/port": "80"}, []string{pod + "8080/metrics service=web pod=web-0 container=app endpoint=8080"}},
		"not wanted":                        {map[string]string{prefix + "/scrape": "false"}, nil},
		"refused: a path with a host":       {annotated("path", "//evil"), nil},
		"refused: a port out of range":      {annotated("port", "70000"), nil},
		"refused: a port with a host":       {annotated("port", "evil:80"), nil},
		"refused: another scheme":           {annotated("scheme", "file"), nil},
		"an unknown annotation is not read": {annotated("port", "80", "color", "red"), []string{pod + "8080/metrics service=web pod=web-0 container=app endpoint=8080"}},
	} {
		t.Run(name, func(t *testing.T) {
			app := App{Namespace: "apps", Name: "web", Annotations: c.annotations, Ports: webPorts}
			other := App{Namespace: "apps", Name: "other", Annotations: annotated("port", "1234"), Ports: webPorts}
			endpoints := testEndpoints{service: "web", annotations: c.annotations, ports: webEndpoints, pods: []testPod{webPod("web-0", "10.0.0.1", nil)}}
			for _, role := range []string{"endpointslice", "endpoint"} {
				var got []string
				for _, endpoint := range ServiceMonitor("apps", "m", []App{other, app}, config).Spec.Endpoints {
					got = append(got, scraped(t, endpoints.discover(role), endpoint.RelabelConfigs, endpoint.Params)...)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("grouped, role %s (-want +got):\n%s", role, diff)
				}
				got = nil
				if Wanted(prefix, c.annotations) {
					if alone := ServiceMonitorFor(app, "m", config); alone != nil {
						endpoint := alone.Spec.Endpoints[0]
						got = scraped(t, endpoints.discover(role), endpoint.RelabelConfigs, endpoint.Params)
					}
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("alone, role %s (-want +got):\n%s", role, diff)
				}
			}
		})
	}
}

func TestOnlyAddressesOfPodsAreScraped(t *testing.T) {
	pods := []testPod{webPod("web-0", "10.0.0.1", nil), webPod("web-1", "fd00::2", nil)}
	app := App{Namespace: "apps", Name: "web", Annotations: annotated("port", "8080"), Ports: webPorts}
	selectorless := app
	selectorless.Selectorless = true
	allowed := config
	allowed.Selectorless = true
	genuine := []string{
		"http://10.0.0.1:8080/metrics service=web pod=web-0 container=app endpoint=8080",
		"http://[fd00::2]:8080/metrics service=web pod=web-1 container=app endpoint=8080",
	}
	for name, c := range map[string]struct {
		app       App
		config    Config
		addresses []string
		noPods    bool
		want      []string
	}{
		"the Pods' own":                          {app, config, nil, false, genuine},
		"another host":                           {app, config, []string{"169.254.169.254", "fd00::bad"}, false, nil},
		"the other Pod's":                        {app, config, []string{"fd00::2", "10.0.0.1"}, false, nil},
		"no Pod at all":                          {app, config, []string{"10.9.9.9", "10.9.9.8"}, true, nil},
		"selectorless, refused by the monitor":   {selectorless, config, []string{"10.9.9.9", "10.9.9.8"}, true, nil},
		"selectorless, not allowed for this one": {app, allowed, []string{"10.9.9.9", "10.9.9.8"}, true, nil},
		"selectorless, allowed": {selectorless, allowed, []string{"10.9.9.9", "10.9.9.8"}, true, []string{
			"http://10.9.9.8:8080/metrics service=web endpoint=8080", "http://10.9.9.9:8080/metrics service=web endpoint=8080"}},
	} {
		t.Run(name, func(t *testing.T) {
			// Another app keeps the monitor there when this one is refused.
			other := App{Namespace: "apps", Name: "other", Annotations: annotated(), Ports: webPorts}
			endpoints := testEndpoints{service: "web", annotations: c.app.Annotations, ports: webEndpoints[:1], pods: pods,
				addresses: c.addresses, withoutPods: c.noPods}
			var got []string
			for _, endpoint := range ServiceMonitor("apps", "m", []App{c.app, other}, c.config).Spec.Endpoints {
				got = append(got, scraped(t, endpoints.discover("endpointslice"), endpoint.RelabelConfigs, nil)...)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRewrittenPortsOfIPv6AndSeveralPods(t *testing.T) {
	app := App{Namespace: "apps", Name: "web", Annotations: annotated("port", "7777"), Ports: webPorts}
	endpoints := testEndpoints{service: "web", annotations: app.Annotations, ports: webEndpoints,
		pods: []testPod{webPod("web-0", "10.0.0.1", nil), webPod("web-1", "fd00::2", nil)}}
	endpoint := ServiceMonitor("apps", "m", []App{app}, config).Spec.Endpoints[0]
	want := []string{
		"http://10.0.0.1:7777/metrics service=web pod=web-0 endpoint=7777",
		"http://[fd00::2]:7777/metrics service=web pod=web-1 endpoint=7777",
	}
	if diff := cmp.Diff(want, scraped(t, endpoints.discover("endpoint"), endpoint.RelabelConfigs, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPodsAreScrapedExactlyOnce(t *testing.T) {
	for name, c := range map[string]struct {
		annotations map[string]string
		want        []string
	}{
		"no port: every declared one": {annotated(), []string{
			"http://10.0.0.1:15000/metrics pod=web-0 container=proxy endpoint=15000",
			"http://10.0.0.1:8080/metrics pod=web-0 container=app endpoint=8080",
			"http://10.0.0.1:9090/metrics pod=web-0 container=app endpoint=9090"}},
		"a declared port by number":          {annotated("port", "9090"), []string{"http://10.0.0.1:9090/metrics pod=web-0 endpoint=9090"}},
		"a declared port by name":            {annotated("port", "metrics"), []string{"http://10.0.0.1:9090/metrics pod=web-0 container=app endpoint=9090"}},
		"an undeclared one":                  {annotated("port", "7777", "path", "stats"), []string{"http://10.0.0.1:7777/stats pod=web-0 endpoint=7777"}},
		"the UDP port":                       {annotated("port", "gossip"), nil},
		"the init container's port":          {annotated("port", "init"), nil},
		"out of range":                       {annotated("port", "65536"), nil},
		"the highest":                        {annotated("port", "65535"), []string{"http://10.0.0.1:65535/metrics pod=web-0 endpoint=65535"}},
		"a query has an endpoint of its own": {annotated("port", "9090", "path", "/m?x=1"), nil},
		"not wanted":                         {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			configs := PodMonitor("apps", "m", config).Spec.PodMetricsEndpoints[0].RelabelConfigs
			if diff := cmp.Diff(c.want, scraped(t, webPod("web-0", "10.0.0.1", c.annotations).discover(), configs, nil)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsWithoutDeclaredPorts(t *testing.T) {
	bare := func(annotations map[string]string) testPod {
		return testPod{name: "job-0", ip: "10.0.0.1", annotations: annotations, containers: []testContainer{{name: "one"}, {name: "two"}}}
	}
	named := annotated("port", "9090")
	named["kubectl.kubernetes.io/default-container"] = "two"
	for name, c := range map[string]struct {
		annotations map[string]string
		want        []string
	}{
		"a number is scraped once":                  {annotated("port", "9090"), []string{"http://10.0.0.1:9090/metrics pod=job-0 endpoint=9090"}},
		"the default container is named":            {named, []string{"http://10.0.0.1:9090/metrics pod=job-0 container=two endpoint=9090"}},
		"without a port there is nothing to choose": {annotated(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			configs := PodMonitor("apps", "m", config).Spec.PodMetricsEndpoints[0].RelabelConfigs
			if diff := cmp.Diff(c.want, scraped(t, bare(c.annotations).discover(), configs, nil)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAPodAnnotatedWithItsService: what both request is scraped once, by the Pod's annotations, and what one alone does by its own.
func TestAPodAnnotatedWithItsService(t *testing.T) {
	const (
		host    = "http://10.0.0.1:"
		http    = host + "8080/metrics service=web pod=web-0 container=app endpoint=8080"
		admin   = host + "15000/metrics service=web pod=web-0 container=proxy endpoint=15000"
		podHTTP = host + "8080/metrics pod=web-0 endpoint=8080"
		podOwn  = host + "9090/metrics pod=web-0 endpoint=9090"
		named   = host + "9090/metrics pod=web-0 container=app endpoint=9090"
	)
	every := []string{host + "15000/metrics pod=web-0 container=proxy endpoint=15000", host + "8080/metrics pod=web-0 container=app endpoint=8080", named}
	for name, c := range map[string]struct {
		service, pod map[string]string
		want         []string
	}{
		"different ports":                       {annotated("port", "8080"), annotated("port", "9090"), []string{http, podOwn}},
		"different ports, one by name":          {annotated("port", "8080"), annotated("port", "metrics"), []string{http, named}},
		"the same":                              {annotated("port", "8080"), annotated("port", "8080"), []string{podHTTP}},
		"the same by the Service's number":      {annotated("port", "80"), annotated("port", "8080"), []string{podHTTP}},
		"the same by name":                      {annotated("port", "8080"), annotated("port", "http"), []string{host + "8080/metrics pod=web-0 container=app endpoint=8080"}},
		"the same undeclared one":               {annotated("port", "7777"), annotated("port", "7777"), []string{host + "7777/metrics pod=web-0 endpoint=7777"}},
		"an undeclared one of the Service":      {annotated("port", "7777"), annotated("port", "9090"), []string{host + "7777/metrics service=web pod=web-0 endpoint=7777", podOwn}},
		"one that may be the Pod's name":        {annotated("port", "9090"), annotated("port", "metrics"), []string{named}},
		"the Pod's every port":                  {annotated("port", "8080"), annotated(), every},
		"the Service's every port":              {annotated(), annotated("port", "8080"), []string{admin, podHTTP}},
		"the Pod's list":                        {annotated(), annotated("port", "9090,8080"), []string{admin, podOwn, podHTTP}},
		"both lists":                            {annotated("port", "8080,9090"), annotated("port", "9090,7777"), []string{http, podOwn, host + "7777/metrics pod=web-0 endpoint=7777"}},
		"a Pod that is not wanted":              {annotated("port", "8080"), map[string]string{prefix + "/scrape": "false", prefix + "/port": "8080"}, []string{http}},
		"a Pod with a port that it cannot have": {annotated("port", "8080"), annotated("port", "evil:80"), []string{http}},
		"a slow Pod":                            {annotated("port", "8080"), map[string]string{prefix + "/scrape-slow": "true", prefix + "/port": "8080"}, []string{podHTTP + " each 5m"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := webPod("web-0", "10.0.0.1", c.pod)
			app := App{Namespace: "apps", Name: "web", Annotations: c.service, Ports: webPorts}
			endpoints := testEndpoints{service: "web", annotations: app.Annotations, ports: webEndpoints, pods: []testPod{pod}}
			both := config
			both.Both, both.PodsSeen = true, See(prefix, c.pod)
			got := append(ofServices(t, both, []App{app}, endpoints), ofPods(t, both, pod)...)
			slices.Sort(got)
			slices.Sort(c.want)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestAPodThatComesToBeAnnotated is not scraped twice before the monitor of the Services is written anew.
func TestAPodThatComesToBeAnnotated(t *testing.T) {
	pod := webPod("web-0", "10.0.0.1", annotated("port", "8080"))
	app := App{Namespace: "apps", Name: "web", Annotations: annotated("port", "8080"), Ports: webPorts}
	endpoints := testEndpoints{service: "web", annotations: app.Annotations, ports: webEndpoints, pods: []testPod{pod}}
	if got := ofServices(t, config, []App{app}, endpoints); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestPodsDoNotCount: with Services alone a Pod's annotations are not read.
func TestPodsDoNotCount(t *testing.T) {
	pod := webPod("web-0", "10.0.0.1", annotated("port", "8080"))
	app := App{Namespace: "apps", Name: "web", Annotations: annotated("port", "8080"), Ports: webPorts}
	endpoints := testEndpoints{service: "web", annotations: app.Annotations, ports: webEndpoints, pods: []testPod{pod}}
	if got := ofServices(t, Config{Prefix: prefix}, []App{app}, endpoints); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
