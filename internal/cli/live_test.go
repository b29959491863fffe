// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
)

// proxyPath is where the API server passes on what is for the Prometheus of testdata/status/ready.yaml.
const proxyPath = "/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy"

// apiServer answers what is not asked by the fake client: discovery of scales, the scale of Deployment web, and the proxy of Services.
type apiServer struct {
	*httptest.Server
	// refuse makes the proxy answer as to one who may not use it.
	refuse bool
	// down makes it answer as where the Service has no endpoint.
	down bool
	// token is what Prometheus demands of who asks it directly; empty for nothing.
	token string
	// samples are Prometheus' answers to the queries that have these texts in them; to others it has none.
	samples map[string]string
	// targets are those of a scrape pool.
	targets map[string]string

	mutex   sync.Mutex
	queries []string
	methods map[string]bool
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{methods: map[string]bool{}, samples: map[string]string{"vector(1)": `{"metric":{},"value":[1,"1"]}`}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	answer := func(object any) { _ = json.NewEncoder(w).Encode(object) }
	switch {
	case r.URL.Path == "/apis/apps/v1":
		answer(metav1.APIResourceList{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{{Name: "deployments", Kind: "Deployment"},
			{Name: "deployments/scale", Kind: "Scale", Group: "autoscaling", Version: "v1"}}})
	case strings.HasSuffix(r.URL.Path, "/namespaces/shop/deployments/web/scale"):
		answer(autoscalingv1.Scale{TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
			Spec: autoscalingv1.ScaleSpec{Replicas: 1}, Status: autoscalingv1.ScaleStatus{Replicas: 1, Selector: "app=web"}})
	case strings.HasSuffix(r.URL.Path, "/api/v1/query") && s.down:
		w.WriteHeader(http.StatusServiceUnavailable)
		answer(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
			Reason: metav1.StatusReasonServiceUnavailable, Code: http.StatusServiceUnavailable,
			Message: `no endpoints available for service "prometheus-operated"`})
	case strings.HasSuffix(r.URL.Path, "/api/v1/query") && s.refuse:
		refused := apierrors.NewForbidden(schema.GroupResource{Resource: "services/proxy"}, "prometheus-operated:9090", nil).Status()
		refused.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		w.WriteHeader(http.StatusForbidden)
		answer(refused)
	case r.URL.Path == proxyPath+"/api/v1/targets":
		fmt.Fprintf(w, `{"status":"success","data":{"activeTargets":[%s]}}`, s.targets[r.URL.Query().Get("scrapePool")])
	case r.URL.Path == "/direct/api/v1/query" && s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == proxyPath+"/api/v1/query", r.URL.Path == "/direct/api/v1/query":
		query := r.URL.Query().Get("query")
		s.mutex.Lock()
		s.queries, s.methods[r.Method] = append(s.queries, query), true
		s.mutex.Unlock()
		var found []string
		for text, sample := range s.samples {
			if strings.Contains(query, text) {
				found = append(found, sample)
			}
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, strings.Join(found, ","))
	default:
		http.NotFound(w, r)
	}
}

var customAPI = v1alpha1.APIServiceStatus{Name: "v1beta2.custom.metrics.k8s.io", Group: "custom.metrics.k8s.io", Version: "v1beta2",
	Owner: "this pipeline", Backend: "prometheus-adapter", Available: metav1.ConditionTrue, Reason: "Passed"}

// liveWorld has an HPA whose pods give the metric of the rule http, through an API server.
func liveWorld(t *testing.T, server *apiServer, intercept interceptor.Funcs) *world {
	t.Helper()
	pipeline := readPipeline(t, "ready")
	pipeline.Spec.CustomMetrics.Rules = []v1alpha1.CustomMetricRule{{MetricRule: v1alpha1.MetricRule{ID: "http",
		SeriesQuery: `http_requests_total{namespace!="",pod!=""}`, Name: v1alpha1.MetricName{As: "http_requests_per_second"},
		MetricsQuery: "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"},
		Resources: v1alpha1.ResourceMapping{Overrides: map[string]v1alpha1.GroupResource{
			"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}}}}}
	pipeline.Status.APIServices = append(pipeline.Status.APIServices, customAPI)
	pipeline.Spec.Scrape.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapePods}
	hpa := newHPA("shop", "web", false)
	hpa.Spec.MaxReplicas = 3
	hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}
	target := resource.MustParse("40")
	hpa.Spec.Metrics[0].Pods.Target = autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &target}
	hpa.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	said := event("1", reporter, "SeriesMissing", "There are no series. Annotate it.", 5)
	said.InvolvedObject.Name = "web"
	w := newWorld(t, intercept, pipeline, hpa, pod, said, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}})
	w.config = func() (*rest.Config, error) { return &rest.Config{Host: server.URL}, nil }
	return w
}

// change changes the stored pipeline, and returns the client that did.
func (w *world) change(t *testing.T, edit func(*v1alpha1.MetricsPipeline)) client.Client {
	t.Helper()
	c, err := w.client()
	if err != nil {
		t.Fatal(err)
	}
	found, err := pipeline(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	edit(found)
	if err := c.Update(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	return c
}

// explain runs why and reads what it prints as JSON.
func (w *world) explainWeb(t *testing.T, code int, arguments ...string) explained {
	t.Helper()
	w.run(t, code, append([]string{"why", "hpa/web", "-n", "shop", "-o", "json"}, arguments...)...)
	var found explained
	if err := json.Unmarshal(w.out.Bytes(), &found); err != nil {
		t.Fatalf("%v\n%s", err, w.out)
	}
	return found
}

func verdictOf(t *testing.T, found explained, name diagnose.LinkName) diagnose.Link {
	t.Helper()
	for _, link := range found.Chains[0].Links {
		if link.Name == name {
			return link
		}
	}
	t.Fatalf("there is no link %s: %v", name, found.Chains[0].Links)
	return diagnose.Link{}
}

// TestWhyLive looks through an API server that passes queries on: by GET alone, about the HPA's namespace.
func TestWhyLive(t *testing.T) {
	server := newAPIServer(t)
	w := liveWorld(t, server, interceptor.Funcs{})
	found := w.explainWeb(t, ExitBroken)
	if link := verdictOf(t, found, diagnose.LinkSeries); len(link.Queries) == 0 || link.Verdict == diagnose.Unseen {
		t.Errorf("the link Series is %+v", link)
	}
	if found.first() == nil || !found.Complete || found.Said != nil {
		t.Errorf("without series it finds %+v", found)
	}
	for _, name := range []diagnose.LinkName{diagnose.LinkTarget, diagnose.LinkPods, diagnose.LinkAPI, diagnose.LinkRule} {
		if link := verdictOf(t, found, name); link.Verdict != diagnose.Works {
			t.Errorf("the link %s is %+v", name, link)
		}
	}
	if server.methods[http.MethodPost] || !server.methods[http.MethodGet] {
		t.Errorf("queries were sent by %v, want GET, which takes no permission to create", server.methods)
	}
	before := len(server.queries)
	w.explainWeb(t, ExitBroken, "--prometheus-url", server.URL+"/direct")
	if len(server.queries) == before {
		t.Error("nothing was sent to --prometheus-url")
	}
}

// TestWhyWithoutPrometheus: where nobody can be asked, the link is not seen, and never broken.
func TestWhyWithoutPrometheus(t *testing.T) {
	server := newAPIServer(t)
	server.refuse = true
	found := liveWorld(t, server, interceptor.Funcs{}).explainWeb(t, ExitUnseen)
	link := verdictOf(t, found, diagnose.LinkSeries)
	if link.Verdict != diagnose.Unseen || !strings.Contains(link.Seen, "services/proxy") || !strings.Contains(link.Seen, "--prometheus-url") {
		t.Errorf("the link Series is %+v", link)
	}
	if found.Said == nil || found.Said.Reason != "SeriesMissing" {
		t.Errorf("what the operator said is %+v", found.Said)
	}
}

// TestWhyPrometheusIsDown: that is what is broken, and not a link that cannot be seen.
func TestWhyPrometheusIsDown(t *testing.T) {
	server := newAPIServer(t)
	server.down = true
	found := liveWorld(t, server, interceptor.Funcs{}).explainWeb(t, ExitBroken)
	if finding := found.Chains[0].Finding; finding == nil || finding.Reason != v1alpha1.AutoscalerPrometheusUnreachable {
		t.Errorf("the finding is %+v", finding)
	}
}

// TestWhyInOneNamespace: who may view one namespace gets the chain of it, and what the operator said.
func TestWhyInOneNamespace(t *testing.T) {
	forbidden := func(object any) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: fmt.Sprintf("%T", object)}, "", nil)
	}
	oneNamespace := interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if key.Namespace != "shop" {
				return forbidden(object)
			}
			return c.Get(ctx, key, object, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			stated := client.ListOptions{}
			stated.ApplyOptions(options)
			if stated.Namespace != "shop" {
				return forbidden(list)
			}
			return c.List(ctx, list, options...)
		},
	}
	server := newAPIServer(t)
	w := liveWorld(t, server, oneNamespace)
	found := w.explainWeb(t, ExitUnseen)
	if found.Complete || found.Said == nil || found.Said.Message != "There are no series. Annotate it." {
		t.Errorf("it finds %+v", found)
	}
	var hidden []diagnose.LinkName
	for _, link := range found.Chains[0].Links {
		if link.Verdict == diagnose.Unseen {
			hidden = append(hidden, link.Name)
		}
	}
	if !slices.Contains(hidden, diagnose.LinkRule) || verdictOf(t, found, diagnose.LinkPods).Verdict != diagnose.Works {
		t.Errorf("not seen are %v: %+v", hidden, found.Chains[0].Links)
	}
	if len(server.queries) > 0 {
		t.Errorf("Prometheus was asked %v, though its URL cannot be known", server.queries)
	}
}

// TestWhyDerived: a derived rule is known from the status; one that the status has no room for, from what Prometheus has; and where none
// is derived, it is said of what one could be.
func TestWhyDerived(t *testing.T) {
	derived := v1alpha1.RuleStatus{ID: "derived/http_requests_per_second/pods", API: "custom.metrics.k8s.io", State: v1alpha1.RuleInUse,
		Origin: v1alpha1.RuleDerived, Query: "sum(rate(http_requests_total{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)", Autoscaler: "shop/web"}
	one := `{"metric":{"question":"0","__name__":"http_requests_total"},"value":[1,"2"]}`
	for name, test := range map[string]struct {
		listed bool
		total  int32
		names  string
		want   string
	}{
		"listed":     {true, 1, "", "Derived"},
		"not listed": {false, 1, one, "Derived"},
		"none":       {false, 0, one, "RuleDeriving"},
		"no series":  {false, 0, "", "AppNotAnnotated"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer(t)
			server.samples["count by (__name__, quantile)"] = test.names
			w := liveWorld(t, server, interceptor.Funcs{})
			c, err := w.client()
			if err != nil {
				t.Fatal(err)
			}
			changed := readPipeline(t, "ready")
			changed.Status.APIServices = append(changed.Status.APIServices, customAPI)
			changed.Spec.Scrape.Targets = []v1alpha1.ScrapeTarget{v1alpha1.ScrapePods}
			if changed.Status.Rules = nil; test.listed {
				changed.Status.Rules = []v1alpha1.RuleStatus{derived}
			}
			changed.Status.RulesTotal.Derived = test.total
			if err := replace(t.Context(), c, changed); err != nil {
				t.Fatal(err)
			}
			found := w.explainWeb(t, ExitBroken)
			rule, finding := verdictOf(t, found, diagnose.LinkRule), found.first()
			if text := rule.Seen + finding.Reason + finding.Message(); !strings.Contains(text, test.want) {
				t.Errorf("the rule is %+v, the finding %+v; want %q", rule, finding, test.want)
			}
			if works := rule.Verdict == diagnose.Works; works != (test.want == "Derived") {
				t.Errorf("the rule is %+v", rule)
			}
		})
	}
}

// TestTerms: a query that is several in one is printed as these.
func TestTerms(t *testing.T) {
	long := strings.Repeat("a", longestQuery)
	for query, want := range map[string][]string{
		"a or b":                      {"a or b"},
		long + " or b or sum(c or d)": {long, "b", "sum(c or d)"},
		long + " or (":                {long + " or ("},
	} {
		if diff := cmp.Diff(want, terms(query)); diff != "" {
			t.Errorf("%.20s: %s", query, diff)
		}
	}
}

// TestServiceProxy: URLs of Services become paths of the API server, and others do not.
func TestServiceProxy(t *testing.T) {
	for base, want := range map[string]string{
		"http://prometheus-operated.monitoring.svc:9090": "/api/v1/namespaces/monitoring/services/prometheus-operated:9090/proxy",
		"https://p.m.svc.cluster.local/prometheus/":      "/api/v1/namespaces/m/services/https:p:443/proxy/prometheus",
		"http://p.m":                              "/api/v1/namespaces/m/services/p:80/proxy",
		"https://thanos.example.com":              "",
		"http://10.0.0.1:9090":                    "",
		"http://localhost:9090":                   "",
		"ftp://p.m.svc":                           "",
		"http://p.m.svc:9090/select/0/prometheus": "/api/v1/namespaces/m/services/p:9090/proxy/select/0/prometheus",
		"http://vm.monitoring.svc.cluster.example:8428/a%2Fb/c": "/api/v1/namespaces/monitoring/services/vm:8428/proxy/a%2Fb/c",
	} {
		got, isService := serviceProxy(base)
		if got != want || isService != (want != "") {
			t.Errorf("%s: got %q, %t, want %q", base, got, isService, want)
		}
	}
}
