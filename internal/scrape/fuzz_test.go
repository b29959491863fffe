// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/internal/scrape/promconfig"
)

var (
	grammarPath = regexp.MustCompile(`^/[A-Za-z0-9._~!&'()*+,;=:@/-]{0,511}$`)
	ownAddress  = regexp.MustCompile(`^10\.0\.0\.1:([1-9][0-9]{0,4})$`)
)

// FuzzAnnotations looks for annotations that make a monitor, or a target of one, leave the grammar.
func FuzzAnnotations(f *testing.F) {
	for _, seed := range [][4]string{
		{"true", "8080", "/metrics", "http"}, {"Yes", "http", "stats?x=1&y[]=2", "HTTPS"}, {"1", "65536", "//evil/x", "file"},
		{"true", "evil:80", "/%2e%2e", "https"}, {"true", "r/9090", "/a$1", ""}, {"true", "c/http", "\\?x", "http;https"},
		{"true", "9", "/m?x=$(POD_NAME)", ""}, {"true", "$(HOME)", "/$(HOME)", "$(HOME)"}, {"true", "80", "/m?x=%24(HOME)&$(A)=1", ""},
		{"true", "8080,metrics", "/m", "https"}, {"true", "80 ,http,r/9090", "/m", ""}, {"yes", "1,2,3,4,5,6,7,8", "m", "http"},
		{"true", "${1}", "/?", ""}, {"TRUE\n", "80\n", "/m\nx", "http\n"}, {"on", "admin", "?a=%zz", "https"}, {"true", "0", "/\x00", "h"},
		{"true", "80", "/m?<<=x", "http"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, scrape, port, path, scheme string) {
		set := map[string]string{prefix + "/scrape": scrape, prefix + "/port": port, prefix + "/path": path, prefix + "/scheme": scheme}
		app := App{Namespace: "apps", Name: "web", Annotations: set, Ports: webPorts}
		other := App{Namespace: "apps", Name: "other", Annotations: annotated(), Ports: webPorts}
		endpoints := testEndpoints{service: "web", annotations: set, ports: webEndpoints, pods: []testPod{webPod("web-0", "10.0.0.1", nil)}}
		// Endpoints made by hand, and Pods in the network of their node.
		elsewhere := endpoints
		elsewhere.pods = []testPod{webPod("web-0", "10.0.0.1", nil), webPod("web-1", "10.0.0.2", set)}
		elsewhere.addresses, elsewhere.pods[1].host = []string{"169.254.169.254", "10.0.0.2"}, "10.0.0.2"
		apps := []App{other}
		if Wanted(prefix, set) {
			apps = append(apps, app)
		}
		for _, c := range []Config{config, everything(set)} {
			monitor := ServiceMonitor("apps", "m", apps, c)
			checkText(t, monitor)
			// What is kept of the app says the same.
			kept := app
			kept.Annotations = Under(prefix, Kept(prefix, set))
			if diff := cmp.Diff(monitor, ServiceMonitor("apps", "m", append(apps[:1:1], slices.Repeat([]App{kept}, len(apps)-1)...), c)); diff != "" {
				t.Errorf("by what is kept of the annotations (-all +kept):\n%s", diff)
			}
			for _, job := range plain(t, monitor) {
				checkJob(t, job)
				checkTargets(t, endpoints.discover("endpointslice"), ofJob(job), Wanted(prefix, set))
				checkTargets(t, elsewhere.discover("endpointslice"), ofJob(job), Wanted(prefix, set))
			}
			for _, endpoint := range monitor.Spec.Endpoints {
				if endpoint.Path != "" || endpoint.Port != "" || endpoint.HonorLabels || endpoint.Scheme != nil ||
					ptr.Deref(endpoint.FollowRedirects, true) {
					t.Errorf("the monitor's endpoint has fields of an annotation, or follows redirects: %+v", endpoint)
				}
				checkParams(t, endpoint.Params)
				checkTargets(t, endpoints.discover("endpointslice"), endpoint.RelabelConfigs, Wanted(prefix, set))
				checkTargets(t, elsewhere.discover("endpointslice"), endpoint.RelabelConfigs, Wanted(prefix, set))
			}
			pods := PodMonitor("apps", "m", c)
			checkText(t, pods)
			for _, job := range plain(t, pods) {
				checkJob(t, job)
				checkTargets(t, webPod("web-0", "10.0.0.1", set).discover(), ofJob(job), Wanted(prefix, set))
				checkTargets(t, elsewhere.pods[1].discover(), ofJob(job), false)
			}
			for _, endpoint := range pods.Spec.PodMetricsEndpoints {
				checkParams(t, endpoint.Params)
				checkTargets(t, webPod("web-0", "10.0.0.1", set).discover(), endpoint.RelabelConfigs, Wanted(prefix, set))
				checkTargets(t, elsewhere.pods[1].discover(), endpoint.RelabelConfigs, false)
			}
		}
	})
}

// everything is a configuration with each endpoint that there can be for an app.
func everything(annotations map[string]string) Config {
	all := config
	all.PodsSeen, all.ServicesSeen = Seen{true, true, true, true, mostListed}, Seen{true, true, true, true, mostListed}
	all.Both, all.NativeSidecars = true, []string{"setup"}
	if query, rejection := ClassifyPod(prefix, annotations); rejection == nil && query != (PodQuery{}) {
		all.Queries = []PodQuery{query}
	}
	return all
}

// checkJob demands that no field of a job has what an annotation says, but for the parameters.
func checkJob(t *testing.T, job promconfig.Job) {
	t.Helper()
	if !regexp.MustCompile(`^(service|pod)Monitor/apps/m/[0-9]+$`).MatchString(job.Name) {
		t.Errorf("job %q", job.Name)
	}
	if job.Path != "" || job.Scheme != "" || job.HonorLabels || ptr.Deref(job.FollowRedirects, true) || job.TLS != nil || job.Authorization != nil {
		t.Errorf("the job has fields of an annotation, or follows redirects: %+v", job)
	}
	checkParams(t, job.Params)
}

// checkParams compares parameters with the grammar.
func checkParams(t *testing.T, params map[string][]string) {
	t.Helper()
	for name, values := range params {
		for _, text := range append(values, name) {
			if !isParam(text) {
				t.Errorf("parameter %q is outside of the grammar", text)
			}
		}
	}
}

// checkText looks for what prometheus-operator's config-reloader would expand wherever it stands in the configuration.
func checkText(t *testing.T, monitor any) {
	t.Helper()
	text, err := json.Marshal(monitor)
	if err != nil {
		t.Fatal(err)
	}
	if variable := regexp.MustCompile(`\$\([A-Za-z0-9_]+\)`).Find(text); variable != nil {
		t.Errorf("the monitor has the variable %s: %s", variable, text)
	}
}

// checkTargets compares what is left of discovered targets with the grammar.
func checkTargets(t *testing.T, targets []labelSet, relabelings []monitoringv1.RelabelConfig, wanted bool) {
	t.Helper()
	configs := make([]*relabel.Config, 0, len(relabelings))
	for _, relabeling := range relabelings {
		configs = append(configs, prometheusRelabeling(t, relabeling))
	}
	for _, target := range targets {
		target["__scheme__"], target["__metrics_path__"] = "http", "/metrics"
		builder := labels.NewBuilder(labels.FromMap(target))
		if !relabel.ProcessBuilder(builder, configs...) {
			continue
		}
		set := builder.Labels()
		if !wanted {
			t.Errorf("an app that does not want it, or an address that is not the app's, is scraped: %v", set)
		}
		if job := set.Get("job"); !strings.HasPrefix(job, "apps/") && job != "" {
			t.Errorf("job %q is not the namespace's", job)
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
