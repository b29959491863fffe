// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestPrometheusIsChosen: the only Prometheus object of the cluster is used by itself. Where there is none, or there are
// several, or not the one that is named, the status says which and what to do.
func TestPrometheusIsChosen(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.PrometheusCRD())

	w.apply(`{}`)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonNotRequired))

	w.apply(customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonPrometheusNotFound, "no Prometheus object", "create one", "spec.prometheus.url"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonPrometheusNotFound))
	w.Eventually(w.api(customAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend, "PrometheusReady"))

	first := w.prometheus("monitoring", "k8s", nil)
	w.Eventually(w.source).Should(Equal(&v1alpha1.PrometheusStatus{
		URL: "http://prometheus-operated.monitoring.svc:9090", Origin: "Prometheus monitoring/k8s",
		Chosen: &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}}))
	// There is no DNS here, so it has no chance to answer.
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonUnreachable,
		"Prometheus monitoring/k8s", "http://prometheus-operated.monitoring.svc:9090"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).ShouldNot(beTrue(), "time may resolve it")
	w.Eventually(func() []string { return w.of(adapter) }).ShouldNot(BeEmpty())

	w.apply("prometheus: {ref: {namespace: other, name: third}}\n" + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonPrometheusNotFound,
		"other/third", "spec.prometheus.ref", "monitoring/k8s"))

	// Nothing is chosen while the spec names a source, so both objects are there at first.
	w.prometheus("other", "second", nil)
	w.apply(customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonPrometheusAmbiguous,
		"2 Prometheus objects", "monitoring/k8s", "other/second", "spec.prometheus.ref"))
	w.Expect(w.of(adapter)).NotTo(BeEmpty(), "what ran keeps running")

	w.apply("prometheus: {ref: {namespace: other, name: second}}\n" + customRules)
	w.Eventually(w.source).Should(HaveField("URL", "http://prometheus-operated.other.svc:9090"))
	w.Expect(w.Client.Delete(t.Context(), first)).To(Succeed())
	w.rest()
	w.Expect(w.source()).To(HaveField("URL", "http://prometheus-operated.other.svc:9090"))
}

// TestPrometheusStaysChosen: a Prometheus object that anyone makes in a namespace of theirs changes nothing for the cluster, neither
// at once, nor after a restart, nor when the chosen one is deleted and theirs is the only one left. A ref changes it.
func TestPrometheusStaysChosen(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.PrometheusCRD(), harness.ServiceMonitorCRD(), harness.PodMonitorCRD())
	ours := w.prometheus("monitoring", "k8s", map[string]string{"release": "ours"})
	w.apply(`{}`)
	w.app("shop", nil)
	const monitor = "metricspipeline-annotated"
	release := func() string {
		found := &monitoringv1.ServiceMonitor{}
		if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: monitor}, found); err != nil {
			return err.Error()
		}
		return found.Labels["release"]
	}
	w.Eventually(release).Should(Equal("ours"))
	chosen := HaveField("Chosen", HaveValue(Equal(v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"})))
	w.Eventually(w.source).Should(chosen)

	w.prometheus("team-a", "main", map[string]string{"release": "theirs"})
	unchanged := func() {
		t.Helper()
		w.rest()
		w.Expect(w.source()).To(chosen)
		w.Expect(release()).To(Equal("ours"))
	}
	unchanged()
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).NotTo(HaveField("Reason", v1alpha1.ReasonPrometheusAmbiguous))
	restart := func() {
		t.Helper()
		w.Expect(w.Operator.Stop()).To(Succeed())
		w.Expect(w.Start(logTo(t), harness.Conditions{})).To(Succeed())
		w.Eventually(w.Operator.Reconciles).Should(BeNumerically(">", 0))
	}
	restart()
	unchanged()
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).NotTo(HaveField("Reason", v1alpha1.ReasonPrometheusAmbiguous))

	w.Expect(w.Client.Delete(t.Context(), ours)).To(Succeed())
	gone := beFalse(v1alpha1.ReasonPrometheusNotFound, "monitoring/k8s, which was in use", "team-a/main", "spec.prometheus.ref")
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(gone)
	restart()
	unchanged()
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).To(gone)

	w.apply("prometheus: {ref: {namespace: team-a, name: main}}\n")
	w.Eventually(release).Should(Equal("theirs"))
	w.Eventually(w.source).Should(SatisfyAll(HaveField("Origin", "Prometheus team-a/main"), HaveField("Chosen", BeNil())))
}

// TestCredentialsStayInside: the token goes to the Prometheus that the spec names, over TLS, and nowhere else: neither over http
// where the object does not serve TLS, nor to where a redirect leads.
func TestCredentialsStayInside(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.PrometheusCRD())
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "prometheus-token"},
		StringData: map[string]string{"token": "a"},
	}
	w.Expect(w.Client.Create(t.Context(), secret)).To(Succeed())
	t.Cleanup(func() { w.Expect(w.Client.Delete(cleanupContext(t), secret)).To(Succeed()) })
	const auth = "  auth: {bearerToken: {name: prometheus-token, key: token}}\n"

	w.prometheus("monitoring", "k8s", nil)
	w.apply("prometheus:\n  ref: {namespace: monitoring, name: k8s}\n" + auth + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonAuthOverHTTP,
		"Prometheus monitoring/k8s", "http://prometheus-operated.monitoring.svc:9090", "allowHTTP"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.rest()
	w.Expect(w.of(adapter)).To(BeEmpty())

	var presented atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { presented.Add(1) }))
	t.Cleanup(elsewhere.Close)
	redirects := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/api/v1/query", http.StatusFound))
	t.Cleanup(redirects.Close)
	w.apply("prometheus:\n  url: " + redirects.URL + "\n  allowHTTP: true\n" + auth + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonRedirected,
		redirects.URL, "302 Found", "set spec.prometheus.url to "+elsewhere.URL))
	w.Eventually(w.api(customAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend, "PrometheusReady"))
	w.rest()
	w.Expect(w.of(adapter)).To(BeEmpty(), "the adapter would follow the redirect, and present the token there")
	w.Expect(presented.Load()).To(BeZero())
}

// TestPrometheusAnswers: one that is named by its URL is queried, and its answer reported when it changes.
func TestPrometheusAnswers(t *testing.T) {
	w := begin(t)
	prometheus := startPrometheus(t)
	prometheus.SetDown(true)
	w.apply(prometheusAt(prometheus.URL) + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonUnreachable, "spec.prometheus.url", prometheus.URL, "503"))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonUnreachable))

	prometheus.SetDown(false)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beStatus(metav1.ConditionTrue, v1alpha1.ReasonReachable, prometheus.URL))
	w.Expect(w.source()).To(Equal(&v1alpha1.PrometheusStatus{URL: prometheus.URL, Origin: "spec.prometheus.url"}))
	w.Eventually(w.events).Should(ContainElement(SatisfyAll(HavePrefix("Reachable: "), ContainSubstring("PrometheusReady turned True"))))
}

// TestAnotherPrometheus: an adapter that works is not taken away by an address that is wrong, or a token that is not valid yet.
func TestAnotherPrometheus(t *testing.T) {
	w := begin(t)
	one, other := startPrometheus(t), startPrometheus(t)
	w.apply(prometheusAt(one.URL) + customRules)
	args := func() []string { return w.deployment(adapter).Spec.Template.Spec.Containers[0].Args }
	w.Eventually(func() []string { return w.of(adapter) }).Should(ContainElement(HavePrefix("Deployment")))
	w.Expect(args()).To(ContainElement("--prometheus-url=" + one.URL))

	other.SetDown(true)
	w.apply(prometheusAt(other.URL) + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonUnreachable, other.URL, "prometheus-adapter stays as it is"))
	w.rest()
	w.Expect(args()).To(ContainElement("--prometheus-url=" + one.URL))

	other.SetDown(false)
	w.Eventually(args).Should(ContainElement("--prometheus-url=" + other.URL))
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beTrue())

	// The Prometheus that was queried last may be down, as long as no other one is set.
	other.SetDown(true)
	w.apply(prometheusAt(other.URL) + "metricsServer: {metricResolution: 30s}\n" + customRules + "prometheusAdapter: {relistInterval: 2m}\n")
	w.Eventually(args).Should(ContainElement("--metrics-relist-interval=2m0s"))
}

// TestPrometheusCredentials: a Secret that is missing is named; it may come later; and the adapter, which reads it once,
// is rolled when it changes.
func TestPrometheusCredentials(t *testing.T) {
	w := begin(t)
	const auth = "  auth: {bearerToken: {name: prometheus-token, key: token}}\n"
	w.apply("prometheus:\n  url: " + startPrometheus(t).URL + "\n  allowHTTP: true\n" + auth + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonAuthMissing,
		"spec.prometheus.auth.bearerToken", "prometheus-token", harness.OperatorNamespace, "create it"))

	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "prometheus-token"},
		StringData: map[string]string{"other": "a"},
	}
	w.Expect(w.Client.Create(t.Context(), secret)).To(Succeed())
	t.Cleanup(func() { w.Expect(w.Client.Delete(cleanupContext(t), secret)).To(Succeed()) })
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beFalse(v1alpha1.ReasonAuthMissing, "no key token"))

	secret.StringData = map[string]string{"token": "first"}
	w.Expect(w.Client.Update(t.Context(), secret)).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonReachable))
	w.Eventually(w.podAnnotations).ShouldNot(BeEmpty())
	first := w.podAnnotations()

	secret.StringData = map[string]string{"token": "second"}
	w.Expect(w.Client.Update(t.Context(), secret)).To(Succeed())
	w.Eventually(w.podAnnotations).ShouldNot(Equal(first))
}

// TestAccessToPrometheus: what a gateway in front of Prometheus demands is named by the condition, field by field; with it the adapter gets
// it too, in a Secret of the operator's that goes when it is not needed. What weakens the metrics, or cannot be judged, is said.
func TestAccessToPrometheus(t *testing.T) {
	w := begin(t)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "gateway"},
		StringData: map[string]string{"user": "admin", "password": "s3cret\n", "tenant": "team-a"},
	}
	w.Expect(w.Client.Create(t.Context(), secret)).To(Succeed())
	t.Cleanup(func() { w.Expect(w.Client.Delete(cleanupContext(t), secret)).To(Succeed()) })
	behind := startPrometheus(t)
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(response http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user != "admin" || password != "s3cret":
			response.Header().Set("WWW-Authenticate", "Basic")
			http.Error(response, "who are you", http.StatusUnauthorized)
		case r.Header.Get("X-Scope-OrgID") != "team-a":
			http.Error(response, "no org id", http.StatusUnauthorized)
		case r.Method != http.MethodPost:
			http.Error(response, "no", http.StatusMethodNotAllowed)
		default:
			behind.ServeHTTP(response, r)
		}
	}))
	gateway.Config.ErrorLog = log.New(io.Discard, "", 0)
	gateway.StartTLS()
	t.Cleanup(gateway.Close)

	const (
		insecure = "  tls: {verification: Insecure}\n"
		basic    = "  auth:\n    basicAuth: {username: {name: gateway, key: user}, password: {name: gateway, key: password}}\n"
		tenant   = "    headers: [{name: X-Scope-OrgID, secret: {name: gateway, key: tenant}}]\n"
		post     = "  queryMethod: POST\n"
		sidecar  = "  adapterURL: http://localhost:8005\n"
	)
	source := func(fields string) string { return "prometheus:\n  url: " + gateway.URL + "\n" + fields + customRules }
	ready := w.condition(v1alpha1.ConditionPrometheusReady)
	for _, step := range []struct{ fields, reason, says string }{
		{"", v1alpha1.ReasonUnreachable, "spec.prometheus.tls.ca"},
		{insecure, v1alpha1.ReasonUnauthorized, "set spec.prometheus.auth.basicAuth"},
		{insecure + basic, v1alpha1.ReasonUnauthorized, "name it in spec.prometheus.auth.headers, as X-Scope-OrgID"},
		{insecure + basic + tenant, v1alpha1.ReasonUnreachable, "set spec.prometheus.queryMethod to POST"},
	} {
		w.apply(source(step.fields))
		w.Eventually(ready).Should(beFalse(step.reason, step.says))
		w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	}
	access := &corev1.Secret{}
	key := client.ObjectKey{Namespace: harness.OperatorNamespace, Name: "prometheus-adapter-access"}
	w.Expect(w.Client.Get(t.Context(), key, access)).To(Satisfy(apierrors.IsNotFound), "the adapter keeps what it has until it answers")

	w.apply(source(insecure + basic + tenant + post + sidecar))
	w.Eventually(ready).Should(SatisfyAll(beTrue(), HaveField("Message", SatisfyAll(
		ContainSubstring("spec.prometheus.tls.verification is Insecure"), ContainSubstring("spec.prometheus.adapterURL http://localhost:8005, in its own pod")))))
	w.Eventually(func() error { return w.Client.Get(t.Context(), key, access) }).Should(Succeed())
	w.Expect(access.Data).To(HaveKeyWithValue("header-x-scope-orgid", []byte("team-a")))
	w.Eventually(func() []string { return w.deployment(adapter).Spec.Template.Spec.Containers[0].Args }).Should(ContainElements(
		"--prometheus-url=http://localhost:8005", "--prometheus-verb=POST", "--prometheus-header=X-Scope-OrgID=$(PROMETHEUS_HEADER_X_SCOPE_ORGID)"))

	w.Expect(w.Client.Delete(t.Context(), access)).To(Succeed())
	w.Eventually(func() error { return w.Client.Get(t.Context(), key, &corev1.Secret{}) }).Should(Succeed(), "it is put back")
	w.apply(prometheusAt(behind.URL) + customRules)
	w.Eventually(func() bool { return apierrors.IsNotFound(w.Client.Get(t.Context(), key, &corev1.Secret{})) }).Should(BeTrue())
}

// TestDialect: rules that VictoriaMetrics alone can judge are rejected as PromQL, and in use as MetricsQL, which the condition says.
func TestDialect(t *testing.T) {
	w := begin(t)
	const rules = "externalMetrics:\n  rules:\n  - {id: depth, seriesQuery: queue_depth, resources: {namespaced: false}, " +
		"metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>})) default 0'}\n"
	url := "prometheus:\n  url: " + startPrometheus(t).URL + "\n"
	w.apply(url + rules)
	accepted := w.condition(v1alpha1.ConditionRulesAccepted)
	w.Eventually(accepted).Should(beFalse(v1alpha1.ReasonRulesRejected, "is not PromQL"))
	w.apply(url + "  dialect: MetricsQL\n" + rules)
	w.Eventually(accepted).Should(SatisfyAll(beTrue(), HaveField("Message", ContainSubstring("spec.prometheus.dialect is MetricsQL"))))
	w.Eventually(func() []string { return w.of(adapter) }).ShouldNot(BeEmpty())
}

// prometheus makes a Prometheus object, with the labels that it selects ServiceMonitors by, until the end of the story.
func (w *world) prometheus(namespace, name string, selects map[string]string) *monitoringv1.Prometheus {
	w.t.Helper()
	w.namespace(namespace)
	object := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	object.Spec.Replicas = ptr.To[int32](1)
	if selects != nil {
		object.Spec.ServiceMonitorSelector = &metav1.LabelSelector{MatchLabels: selects}
	}
	w.Expect(w.Client.Create(w.t.Context(), object)).To(Succeed())
	return object
}

// namespace makes sure that a namespace exists. It stays: without kube-controller-manager none can be deleted.
func (w *world) namespace(name string) {
	w.t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	err := w.Client.Get(w.t.Context(), client.ObjectKeyFromObject(object), object)
	if client.IgnoreNotFound(err) == nil && err != nil {
		err = w.Client.Create(w.t.Context(), object)
	}
	w.Expect(err).NotTo(HaveOccurred())
}

// source is what the status says of the source of custom and external metrics.
func (w *world) source() *v1alpha1.PrometheusStatus { return w.status().Prometheus }

// podAnnotations returns the annotations of the adapter's pod template, a change of which replaces the pods.
func (w *world) podAnnotations() map[string]string {
	w.t.Helper()
	return w.deployment(adapter).Spec.Template.Annotations
}
