// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListsOfPorts(t *testing.T) {
	const (
		service = "/metrics service=web pod=web-0"
		pod     = "/metrics pod=web-0"
		host    = "http://10.0.0.1:"
	)
	for port, want := range map[string]struct{ service, pod []string }{
		"8080,15000": {
			[]string{host + "15000" + service + " endpoint=15000", host + "8080" + service + " container=app endpoint=8080"},
			[]string{host + "15000" + pod + " endpoint=15000", host + "8080" + pod + " endpoint=8080"}},
		"8080 , 9090": {
			[]string{host + "8080" + service + " container=app endpoint=8080", host + "9090" + service + " endpoint=9090"},
			[]string{host + "8080" + pod + " endpoint=8080", host + "9090" + pod + " endpoint=9090"}},
		"7777,7778,9090": { // Not of the Service, two of them of no container.
			[]string{host + "7777" + service + " endpoint=7777", host + "7778" + service + " endpoint=7778", host + "9090" + service + " endpoint=9090"},
			[]string{host + "7777" + pod + " endpoint=7777", host + "7778" + pod + " endpoint=7778", host + "9090" + pod + " endpoint=9090"}},
		"http,metrics": {
			[]string{host + "8080" + service + " container=app endpoint=8080", host + "9090" + service + " container=app endpoint=9090"},
			[]string{host + "8080" + pod + " container=app endpoint=8080", host + "9090" + pod + " container=app endpoint=9090"}},
		// One port, each by several names.
		"8080,8080": {[]string{host + "8080" + service + " container=app endpoint=8080"}, []string{host + "8080" + pod + " endpoint=8080"}},
		"80,8080,http,80": {
			[]string{host + "8080" + service + " container=app endpoint=8080"},
			[]string{host + "80" + pod + " endpoint=80", host + "8080" + pod + " endpoint=8080"}},
		"admin,8081,15000": {
			[]string{host + "15000" + service + " endpoint=15000"},
			[]string{host + "15000" + pod + " endpoint=15000", host + "8081" + pod + " endpoint=8081"}},
		"metrics,9090": {[]string{host + "9090" + service + " endpoint=9090"}, []string{host + "9090" + pod + " endpoint=9090"}},
		"9090,metrics": {[]string{host + "9090" + service + " endpoint=9090"}, []string{host + "9090" + pod + " endpoint=9090"}},
		// What no container has gives no target.
		"8080,nothing,gossip": {[]string{host + "8080" + service + " container=app endpoint=8080"}, []string{host + "8080" + pod + " endpoint=8080"}},
		"8080,":               {nil, nil},
		"8080,evil:80":        {nil, nil},
		"1,2,3,4,5,6,7,8,9":   {nil, nil},
	} {
		t.Run(port, func(t *testing.T) {
			app, endpoints := web(annotated("port", port))
			// Others of the namespace do not matter.
			other, others := web(annotated("port", "8080"))
			other.Name, others.service = "other", "other"
			others.pods = nil
			for name, got := range map[string][]string{
				"grouped": ofServices(t, config, []App{app, other}, endpoints, others),
				"alone":   alone(t, config, app, endpoints),
			} {
				if diff := cmp.Diff(want.service, got); diff != "" {
					t.Errorf("Service, %s (-want +got):\n%s", name, diff)
				}
			}
			three := config
			three.PodsSeen.Ports = 3
			if diff := cmp.Diff(want.pod, ofPods(t, three, webPod("web-0", "10.0.0.1", annotated("port", port)))); diff != "" {
				t.Errorf("Pod (-want +got):\n%s", diff)
			}
		})
	}
}

// alone returns the targets of the monitor of one Service.
func alone(t *testing.T, c Config, app App, endpoints testEndpoints) []string {
	t.Helper()
	monitor := ServiceMonitorFor(app, "m", c)
	if monitor == nil {
		return nil
	}
	return ofMonitor(t, monitor, endpoints)
}

// TestPodsBesideLists: the endpoints for the lists of others change nothing for a Pod without one.
func TestPodsBesideLists(t *testing.T) {
	eight := config
	eight.PodsSeen = Seen{Ports: mostListed, Slow: true, Params: true}
	for name, annotations := range map[string]map[string]string{
		"no port": annotated(), "a number": annotated("port", "7777"), "a name": annotated("port", "metrics"), "none": nil, "bad": annotated("port", "a:1"),
	} {
		pod := webPod("web-0", "10.0.0.1", annotations)
		if diff := cmp.Diff(ofPods(t, config, pod), ofPods(t, eight, pod)); diff != "" {
			t.Errorf("%s (-alone +beside lists):\n%s", name, diff)
		}
	}
}

// TestFamilies: a Pod is scraped once, at its first address, whichever families its Service has. Endpoints that are made by hand lead
// nowhere else.
func TestFamilies(t *testing.T) {
	app, endpoints := web(annotated("port", "8080"))
	endpoints.pods = append(endpoints.pods, webPod("web-1", "fd00::2", nil))
	other := endpoints
	other.addresses = []string{"fd00::1", "10.0.0.2"}
	want := []string{
		"http://10.0.0.1:8080/metrics service=web pod=web-0 container=app endpoint=8080",
		"http://[fd00::2]:8080/metrics service=web pod=web-1 container=app endpoint=8080",
	}
	c := config
	c.ServicesSeen.IPv6 = true
	for name, slices := range map[string][]testEndpoints{"the first family": {endpoints}, "the second": {other}} {
		if diff := cmp.Diff(want, ofServices(t, c, []App{app}, slices...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Both in one scrape pool: the targets are the same.
	targets := append(endpoints.discover("endpointslice"), other.discover("endpointslice")...)
	if diff := cmp.Diff(want, scraped(t, targets, ServiceMonitor("apps", "m", []App{app}, c).Spec.Endpoints[0].RelabelConfigs, nil)); diff != "" {
		t.Errorf("both (-want +got):\n%s", diff)
	}
	other.addresses = []string{"10.9.9.9", "fd00::bad"}
	if got := ofServices(t, c, []App{app}, other); len(got) > 0 {
		t.Errorf("made by hand: %q", got)
	}
	other.addresses, other.withoutPods = []string{"fd00::9", "10.9.9.9"}, true
	if got := ofServices(t, c, []App{app}, other); len(got) > 0 {
		t.Errorf("of no Pod: %q", got)
	}
}

// TestNoPortTwice: whatever a Service and its Pod request together, no URL is scraped twice, and none that both leave out.
func TestNoPortTwice(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test wants the same numbers each time
	words := []string{"80", "8081", "8080", "15000", "9090", "7777", "http", "admin", "metrics", "nothing", "gossip", "init", "7000"}
	annotations := func() map[string]string {
		set := annotated()
		switch random.IntN(6) {
		case 0:
			set = map[string]string{prefix + "/scrape-slow": "true"}
		case 1:
			set[prefix+"/scrape"] = "false"
		case 2:
			set[prefix+"/scrape-slow"] = "true"
		}
		var ports []string
		for range random.IntN(5) {
			ports = append(ports, words[random.IntN(len(words))])
		}
		if len(ports) > 0 {
			set[prefix+"/port"] = strings.Join(ports, ",")
		}
		return set
	}
	for range 600 {
		ofService, ofPod := annotations(), annotations()
		app, endpoints := web(ofService)
		pod := webPod("web-0", "10.0.0.1", ofPod)
		endpoints.pods = []testPod{pod}
		c := config
		if Wanted(prefix, ofPod) {
			c.Both, c.PodsSeen = true, See(prefix, ofPod)
		}
		if random.IntN(2) == 0 {
			c.NativeSidecars = []string{"setup"}
		}
		apps := []App{}
		if Wanted(prefix, ofService) {
			apps = append(apps, app)
		}
		got := append(ofServices(t, c, apps, endpoints), ofPods(t, c, pod)...)
		urls := map[string]bool{}
		for _, target := range got {
			url, _, _ := strings.Cut(target, " ")
			if urls[url] {
				t.Fatalf("Service %v, Pod %v: %s twice in\n%s", ofService, ofPod, url, strings.Join(got, "\n"))
			}
			urls[url] = true
		}
		// A Pod with names or without a port hides what its Service does not declare: the name may be that port's.
		hides := Wanted(prefix, ofPod) && !regexp.MustCompile("^[0-9,]+$").MatchString(ofPod[prefix+"/port"])
		for i, set := range []map[string]string{ofService, ofPod} {
			for _, port := range strings.Split(set[prefix+"/port"], ",") {
				if !slices.Contains([]string{"8080", "15000", "9090", "7777", "7000"}, port) || !Wanted(prefix, set) ||
					i == 0 && port != "8080" && hides {
					continue
				}
				if !urls["http://10.0.0.1:"+port+"/metrics"] {
					t.Fatalf("Service %v, Pod %v: nothing scrapes %s:\n%s", ofService, ofPod, port, strings.Join(got, "\n"))
				}
			}
		}
	}
}
