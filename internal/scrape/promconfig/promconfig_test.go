// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package promconfig_test

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/internal/assets"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/promconfig"
)

var (
	update = flag.Bool("update", false, "write the golden file in testdata anew")
	corpus = flag.String("corpus", "", "the folder to write the corpus of test/promconfig into")
)

// files has each key where prometheus-operator puts those of TLS.
func files(key promconfig.Reference) (string, bool) {
	kind := "0"
	if key.ConfigMap {
		kind = "1"
	}
	return strings.Join([]string{"/etc/prometheus/certs/" + kind, key.Namespace, key.Name, key.Key}, "_"), true
}

// monitors are those of the corpus: each setup of annotated apps that has an endpoint or a relabeling of its own, with each field of
// scrape.Config, and those of the assets.
func monitors(t *testing.T) []client.Object {
	t.Helper()
	annotated := func(values ...string) map[string]string {
		set := map[string]string{"prometheus.io/scrape": "true"}
		for i := 0; i < len(values); i += 2 {
			set["prometheus.io/"+values[i]] = values[i+1]
		}
		return set
	}
	ports := []scrape.Port{{Name: "http", Number: 80, Target: 8080}, {Name: "admin", Number: 8081, TargetName: "admin"}}
	app := func(name string, annotations map[string]string) scrape.App {
		return scrape.App{Namespace: "apps", Name: name, Annotations: annotations, Ports: ports}
	}
	byHand := app("by-hand", annotated("port", "8080"))
	byHand.Selectorless = true
	apps := []scrape.App{
		app("port", annotated("port", "80")), app("undeclared", annotated("port", "7777")), app("container", annotated("port", "metrics")),
		app("query", annotated("path", `/m?x=it's: "#1", [a] {b} & \ *&y=%7B%7D`)), app("slow", annotated("port", "8081", "scrape-slow", "1")),
		app("list", annotated("port", "8080,7777,metrics")), app("yes", annotated("port", "80", "param_on", "no: - ? | > % @ ` 0x1")), byHand,
	}
	all := scrape.Seen{Slow: true, HTTPS: true, Params: true, IPv6: true, Ports: 3}
	configs := map[string]scrape.Config{
		"plain": {Prefix: "prometheus.io", Pods: true},
		"all": {
			Prefix: "prometheus.io", Pods: true, Selectorless: true, Interval: "30s", ScrapeTimeout: "10s", SlowInterval: "10m",
			SlowTimeout: "1m", SampleLimit: 1, BodySizeLimit: "32MB", TargetLimit: 2, KeepDroppedTargets: 3,
			PodTargetLabels: []string{"app.kubernetes.io/version", "team"}, NativeSidecars: []string{"istio-proxy"}, HostNetwork: true,
			HonorLabels: true, InsecureTLS: true, ServerName: "metrics.example.com", ServicesSeen: all, PodsSeen: all, Both: true,
			Queries: []scrape.PodQuery{{Query: "?x=1&y=a+b"}, {Slow: true, Params: "z=%27%22"}},
		},
		"https": {
			Prefix: "metrics.example.com", Pods: true, Schemes: scrape.OnlyHTTPS, ServicesSeen: all, PodsSeen: all, Both: true,
			CA:    &monitoringv1.SecretOrConfigMap{ConfigMap: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "ca"}, Key: "ca.crt"}},
			Token: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "token"}, Key: "token"},
		},
	}
	var objects []client.Object
	for _, name := range []string{"all", "https", "plain"} {
		objects = append(objects, scrape.ServiceMonitor("apps", name, apps, configs[name]), scrape.PodMonitor("apps", name, configs[name]))
	}
	for _, app := range apps {
		objects = append(objects, scrape.ServiceMonitorFor(app, "of-"+app.Name, configs["all"]))
	}
	return append(objects, ofAssets(t)...)
}

// ofAssets returns the monitors of the stack itself.
func ofAssets(t *testing.T) []client.Object {
	t.Helper()
	var objects []client.Object
	for _, path := range []string{"metrics-server/monitor", "prometheus-adapter/monitor", "self-monitoring/base"} {
		text, err := assets.Files.ReadFile(path + "/servicemonitor.yaml")
		if err != nil {
			t.Fatal(err)
		}
		monitor := &monitoringv1.ServiceMonitor{}
		if err := yaml.UnmarshalStrict(text, monitor); err != nil {
			t.Fatal(err)
		}
		monitor.Namespace = "metricspipeline-system"
		objects = append(objects, monitor)
	}
	return objects
}

func jobsOf(t *testing.T, object client.Object) []promconfig.Job {
	t.Helper()
	jobs, err := promconfig.Of(object, files)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// TestCorpus: test/promconfig has proved of the corpus that prometheus-operator makes the same targets of these monitors.
func TestCorpus(t *testing.T) {
	var jobs []promconfig.Job
	var texts []string
	for _, object := range monitors(t) {
		jobs = append(jobs, jobsOf(t, object)...)
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	config, err := promconfig.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	digests := ""
	for _, file := range []struct{ name, text string }{
		{"monitors.yaml", strings.Join(texts, "---\n")}, {"scrape_configs.yaml", string(config)},
	} {
		digests += fmt.Sprintf("%x %s\n", sha256.Sum256([]byte(file.text)), file.name)
		if *corpus != "" {
			if err := os.WriteFile(filepath.Join(*corpus, file.name), []byte(file.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if *corpus != "" {
		return // The proof comes after it.
	}
	proved, err := os.ReadFile("testdata/proof.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(proved), digests); diff != "" {
		t.Errorf("the proof is of another corpus; run make test-promconfig GOTESTFLAGS=-update (-proved +now):\n%s", diff)
	}
}

// TestText shows what is written for a namespace with an annotated Service and an annotated Pod.
func TestText(t *testing.T) {
	config := scrape.Config{Prefix: "prometheus.io", Pods: true, Both: true, SampleLimit: 50000}
	jobs := append(jobsOf(t, scrape.ServiceMonitor("shop", "metricspipeline-annotated", nil, config)),
		jobsOf(t, scrape.PodMonitor("shop", "metricspipeline-annotated", config))...)
	text, err := promconfig.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/shop.yaml"
	if *update {
		if err := os.WriteFile(golden, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s is out of step; run go test ./internal/scrape/promconfig -update (-stored +now):\n%s", golden, diff)
	}
}

// TestNothingIsLeftOut sets each field of a monitor: what is written then differs, or it is an error.
func TestNothingIsLeftOut(t *testing.T) {
	filler := randfill.NewWithSeed(1).NilChance(0).NumElements(1, 1).Funcs(
		func(d *monitoringv1.Duration, _ randfill.Continue) { *d = "7s" },
		func(r *monitoringv1.RelabelConfig, _ randfill.Continue) {
			*r = monitoringv1.RelabelConfig{Action: "Replace", SourceLabels: []monitoringv1.LabelName{"a"}, TargetLabel: "b"}
		},
		func(s *monitoringv1.Scheme, _ randfill.Continue) { *s = monitoringv1.SchemeHTTPS },
		func(m *monitoringv1.SelectorMechanism, _ randfill.Continue) { *m = monitoringv1.SelectorMechanismRole },
		func(b *bool, _ randfill.Continue) { *b = true },
		func(s *string, _ randfill.Continue) { *s = "x" },
		func(i *int64, _ randfill.Continue) { *i = 7 },
	)
	service := func() client.Object {
		return &monitoringv1.ServiceMonitor{Spec: monitoringv1.ServiceMonitorSpec{Endpoints: []monitoringv1.Endpoint{{}}}}
	}
	pod := func() client.Object {
		return &monitoringv1.PodMonitor{Spec: monitoringv1.PodMonitorSpec{PodMetricsEndpoints: []monitoringv1.PodMetricsEndpoint{{}}}}
	}
	for name, tc := range map[string]struct {
		monitor func() client.Object
		of      func(client.Object) any
	}{
		"ServiceMonitor": {service, func(o client.Object) any { return &o.(*monitoringv1.ServiceMonitor).Spec }},
		"PodMonitor":     {pod, func(o client.Object) any { return &o.(*monitoringv1.PodMonitor).Spec }},
		"Endpoint":       {service, func(o client.Object) any { return &o.(*monitoringv1.ServiceMonitor).Spec.Endpoints[0] }},
		"PodMetricsEndpoint": {pod, func(o client.Object) any {
			return &o.(*monitoringv1.PodMonitor).Spec.PodMetricsEndpoints[0]
		}},
		"TLSConfig": {service, func(o client.Object) any {
			endpoint := &o.(*monitoringv1.ServiceMonitor).Spec.Endpoints[0]
			endpoint.TLSConfig = &monitoringv1.TLSConfig{}
			return endpoint.TLSConfig
		}},
		"RelabelConfig": {pod, func(o client.Object) any {
			endpoint := &o.(*monitoringv1.PodMonitor).Spec.PodMetricsEndpoints[0]
			endpoint.RelabelConfigs = []monitoringv1.RelabelConfig{{}}
			return &endpoint.RelabelConfigs[0]
		}},
	} {
		of := reflect.TypeOf(tc.of(tc.monitor())).Elem()
		for _, field := range leaves(of) {
			if field.Name == "Endpoints" || field.Name == "PodMetricsEndpoints" {
				continue
			}
			before, after := tc.monitor(), tc.monitor()
			tc.of(before)
			value := reflect.ValueOf(tc.of(after)).Elem().FieldByIndex(field.Index)
			filler.Fill(value.Addr().Interface())
			if value.Kind() == reflect.Pointer && value.IsNil() {
				value.Set(reflect.New(value.Type().Elem()))
			}
			if to := reflect.Indirect(value); to.Kind() == reflect.String && to.IsZero() {
				to.SetString("x")
			}
			if value.IsZero() {
				t.Fatalf("%s.%s is not set", name, field.Name)
			}
			was, err := translate(before)
			if err != nil {
				t.Fatal(err)
			}
			is, err := translate(after)
			if is == was && err == nil {
				t.Errorf("%s.%s is left out", name, field.Name)
			}
		}
	}
}

// leaves are the fields of a type, and of the types embedded in it.
func leaves(of reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(of), func(field reflect.StructField) bool { return field.Anonymous })
}

func translate(object client.Object) (string, error) {
	jobs, err := promconfig.Of(object, files)
	text, failed := json.Marshal(jobs)
	if failed != nil {
		panic(failed)
	}
	return string(text), err
}

// TestRefused: what Prometheus would refuse the whole configuration for, and what it cannot read, is an error that names it.
func TestRefused(t *testing.T) {
	for says, endpoint := range map[string]monitoringv1.Endpoint{
		"the timeout of serviceMonitor/apps/web/0 is 1m, longer than its interval 30s":   {Interval: "30s", ScrapeTimeout: "1m"},
		`the interval of serviceMonitor/apps/web/0: unknown unit " m" in duration "1 m"`: {Interval: "1 m"},
		"a relabeling of serviceMonitor/apps/web/0: error parsing regexp":                {RelabelConfigs: []monitoringv1.RelabelConfig{{Regex: "("}}},
		"spec.endpoints[0]: no scrape configuration is known for basicAuth": {
			HTTPConfigWithProxyAndTLSFiles: monitoringv1.HTTPConfigWithProxyAndTLSFiles{HTTPConfigWithTLSFiles: monitoringv1.HTTPConfigWithTLSFiles{
				HTTPConfigWithoutTLS: monitoringv1.HTTPConfigWithoutTLS{BasicAuth: &monitoringv1.BasicAuth{}}}}},
		"key token of Secret apps/t is in no file of the Prometheus": {HTTPConfigWithProxyAndTLSFiles: monitoringv1.HTTPConfigWithProxyAndTLSFiles{
			HTTPConfigWithTLSFiles: monitoringv1.HTTPConfigWithTLSFiles{HTTPConfigWithoutTLS: monitoringv1.HTTPConfigWithoutTLS{
				Authorization: &monitoringv1.SafeAuthorization{Credentials: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "t"}, Key: "token"}}}}}},
	} {
		monitor := &monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "web"},
			Spec: monitoringv1.ServiceMonitorSpec{Endpoints: []monitoringv1.Endpoint{endpoint}}}
		jobs, err := promconfig.OfServiceMonitor(monitor, promconfig.NoFiles)
		if err == nil || jobs != nil || !strings.HasPrefix(err.Error(), "ServiceMonitor apps/web: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %v", says, jobs, err)
		}
	}
	monitor := &monitoringv1.PodMonitor{Spec: monitoringv1.PodMonitorSpec{AttachMetadata: &monitoringv1.AttachMetadata{Node: ptr.To(true)}}}
	if _, err := promconfig.OfPodMonitor(monitor, files); err == nil || !strings.Contains(err.Error(), "known for attachMetadata") {
		t.Errorf("a PodMonitor: %v", err)
	}
}

// TestMarshalReadsWhatItWrites: a text that Prometheus would refuse, and with it those of all namespaces, is never written.
func TestMarshalReadsWhatItWrites(t *testing.T) {
	for _, name := range []string{"<<", "=", "~", "null", "on", "1:20", "!!binary", "&a", "*a", "---", "? ", "- x", "#", "0x1", "\ufeff"} {
		text, err := promconfig.Marshal([]promconfig.Job{{Name: "a", Params: map[string][]string{name: {name}}}})
		if refused := name == "<<"; (err != nil) != refused {
			t.Errorf("%q: %v\n%s", name, err, text)
		}
	}
}
