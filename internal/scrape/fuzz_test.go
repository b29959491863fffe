// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

var (
	grammarPath = regexp.MustCompile(`^/[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,511}$`)
	ownAddress  = regexp.MustCompile(`^10\.0\.0\.1:([1-9][0-9]{0,4})$`)
)

// FuzzAnnotations looks for annotations that make a monitor, or a target of one, leave the grammar.
func FuzzAnnotations(f *testing.F) {
	for _, seed := range [][4]string{
		{"true", "8080", "/metrics", "http"}, {"Yes", "http", "stats?x=1&y[]=2", "HTTPS"}, {"1", "65536", "//evil/x", "file"},
		{"true", "evil:80", "/%2e%2e", "https"}, {"true", "r/9090", "/a$1", ""}, {"true", "c/http", "\\?x", "http;https"},
		{"true", "${1}", "/?", ""}, {"TRUE\n", "80\n", "/m\nx", "http\n"}, {"on", "admin", "?a=%zz", "https"}, {"true", "0", "/\x00", "h"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, scrape, port, path, scheme string) {
		set := map[string]string{prefix + "/scrape": scrape, prefix + "/port": port, prefix + "/path": path, prefix + "/scheme": scheme}
		app := App{Namespace: "apps", Name: "web", Annotations: set, Ports: webPorts}
		other := App{Namespace: "apps", Name: "other", Annotations: annotated(), Ports: webPorts}
		endpoints := testEndpoints{service: "web", annotations: set, ports: webEndpoints, pods: []testPod{webPod("web-0", "10.0.0.1", nil)}}
		apps := []App{other}
		if Wanted(prefix, set) {
			apps = append(apps, app)
		}
		for _, endpoint := range ServiceMonitor("apps", "m", apps, config).Spec.Endpoints {
			if endpoint.Path != "" || endpoint.Port != "" || endpoint.HonorLabels || endpoint.Scheme != nil {
				t.Errorf("the monitor's endpoint has fields of an annotation: %+v", endpoint)
			}
			for name, values := range endpoint.Params {
				for _, text := range append(values, name) {
					if !paramText.MatchString(text) || len(text) > longestParam {
						t.Errorf("parameter %q is outside of the grammar", text)
					}
				}
			}
			configs := []*relabel.Config{}
			for _, relabeling := range endpoint.RelabelConfigs {
				configs = append(configs, prometheusRelabeling(t, relabeling))
			}
			checkTargets(t, endpoints.discover("endpointslice"), configs, Wanted(prefix, set))
		}
		configs := []*relabel.Config{}
		for _, relabeling := range PodMonitor("apps", "m", config).Spec.PodMetricsEndpoints[0].RelabelConfigs {
			configs = append(configs, prometheusRelabeling(t, relabeling))
		}
		checkTargets(t, webPod("web-0", "10.0.0.1", set).discover(), configs, Wanted(prefix, set))
	})
}

// checkTargets compares what is left of discovered targets with the grammar.
func checkTargets(t *testing.T, targets []labelSet, configs []*relabel.Config, wanted bool) {
	t.Helper()
	for _, target := range targets {
		target["__scheme__"], target["__metrics_path__"] = "http", "/metrics"
		builder := labels.NewBuilder(labels.FromMap(target))
		if !relabel.ProcessBuilder(builder, configs...) {
			continue
		}
		set := builder.Labels()
		if !wanted {
			t.Errorf("an app that does not want it is scraped: %v", set)
		}
		if scheme := set.Get("__scheme__"); scheme != "http" && scheme != "https" {
			t.Errorf("scheme %q", scheme)
		}
		if path := set.Get("__metrics_path__"); !grammarPath.MatchString(path) || strings.HasPrefix(path, "//") {
			t.Errorf("path %q", path)
		}
		found := ownAddress.FindStringSubmatch(set.Get("__address__"))
		if found == nil {
			t.Fatalf("address %q is not the Pod's", set.Get("__address__"))
		}
		if number, err := strconv.Atoi(found[1]); err != nil || number > 65535 {
			t.Errorf("port %q", found[1])
		}
		set.Range(func(l labels.Label) {
			if strings.HasPrefix(l.Name, "__param_") {
				t.Errorf("an annotation became the parameter %s", l.Name)
			}
		})
		if _, err := url.Parse(set.Get("__scheme__") + "://" + set.Get("__address__") + set.Get("__metrics_path__")); err != nil {
			t.Error(err)
		}
	}
}
