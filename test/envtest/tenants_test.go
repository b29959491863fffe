// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

const annotatedMonitor = "metricspipeline-annotated"

// make creates objects that go at the end of the story, which their namespaces do not.
func (w *world) make(objects ...client.Object) {
	w.t.Helper()
	for _, object := range objects {
		w.Expect(w.Client.Create(w.t.Context(), object, client.FieldOwner("tenant"))).To(Succeed())
		w.t.Cleanup(func() {
			w.Expect(client.IgnoreNotFound(w.Client.Delete(cleanupContext(w.t), object, client.GracePeriodSeconds(0)))).To(Succeed())
		})
	}
}

func tenantService(namespace, name string, further map[string]string) *corev1.Service {
	annotations := map[string]string{"prometheus.io/scrape": "true"}
	for key, value := range further {
		annotations["prometheus.io/"+key] = value
	}
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: "web", Port: 80}}}}
}

func hostPod(namespace string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agent",
		Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "10250"}},
		Spec: corev1.PodSpec{HostNetwork: true, AutomountServiceAccountToken: ptr.To(false),
			Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}}
}

// selectsAll makes a Prometheus object that selects every monitor.
func (w *world) selectsAll() {
	w.t.Helper()
	w.namespace("monitoring")
	all := &metav1.LabelSelector{}
	object := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
	object.Spec.CommonPrometheusFields = monitoringv1.CommonPrometheusFields{
		ServiceMonitorSelector: all, ServiceMonitorNamespaceSelector: all, PodMonitorSelector: all, PodMonitorNamespaceSelector: all}
	w.Expect(w.Client.Create(w.t.Context(), object)).To(Succeed())
}

func (w *world) serviceMonitor(namespace string) (*monitoringv1.ServiceMonitor, error) {
	found := &monitoringv1.ServiceMonitor{}
	return found, w.Client.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: annotatedMonitor}, found)
}

// eventsIn returns the Events of a namespace, each as its reason and what it is about.
func (w *world) eventsIn(namespace string) []string {
	w.t.Helper()
	list := &eventsv1.EventList{}
	w.Expect(w.Client.List(w.t.Context(), list, client.InNamespace(namespace))).To(Succeed())
	announced := []string{}
	for _, event := range list.Items {
		if event.ReportingController == "metricspipeline-operator" {
			announced = append(announced, event.Reason+" "+event.Regarding.Kind+"/"+event.Regarding.Name)
		}
	}
	return announced
}

// TestHostileNamespace: all that the users of one namespace write at once stays there. Another namespace's app is scraped, and the
// condition is True.
func TestHostileNamespace(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.MonitoringCRDs()...)
	for _, name := range []string{"attack", "infra", "shop"} {
		w.namespace(name)
	}
	w.make(&monitoringv1.ServiceMonitor{ObjectMeta: metav1.ObjectMeta{Namespace: "attack", Name: annotatedMonitor},
		Spec: monitoringv1.ServiceMonitorSpec{Endpoints: []monitoringv1.Endpoint{{Port: "web"}}}})
	w.make(hostPod("attack"), hostPod("infra"))
	for i := range 40 {
		w.make(tenantService("attack", fmt.Sprintf("query-%02d", i), map[string]string{"path": fmt.Sprintf("/m?x=%d", i)}),
			tenantService("attack", fmt.Sprintf("variable-%02d", i), map[string]string{"path": "/m?x=$(POD_NAME)"}))
	}
	long := tenantService("attack", "long", map[string]string{"path": "/m?x=" + strings.Repeat("y", 200<<10)})
	w.make(long)
	w.selectsAll()
	w.apply(`{scrape: {hostNetworkPods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: infra}}}}}`)
	w.make(tenantService("shop", "web", nil))

	w.Eventually(func() error { _, err := w.serviceMonitor("shop"); return err }).Should(Succeed())
	w.Eventually(w.scrape).Should(SatisfyAll(
		HaveField("Services", int32(11)), HaveField("Pods", int32(1)), HaveField("RejectedTotal", int32(30+40+1+1)),
		HaveField("Rejected", HaveLen(20)), HaveField("NotScrapedTotal", int32(1)),
		HaveField("NotScraped", ConsistOf(SatisfyAll(HaveField("Namespace", "attack"), HaveField("Reason", v1alpha1.ReasonNameTaken),
			haveMessage("ServiceMonitor attack/"+annotatedMonitor, `"tenant"`, "is left alone"))))))
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).To(SatisfyAll(beTrue(), HaveField("Reason", v1alpha1.ReasonSelected)))
	w.Eventually(func() []string { return w.eventsIn("attack") }).Should(ContainElement("NotScraped Namespace/attack"))
	w.Expect(len(w.eventsIn("attack"))).To(BeNumerically("<=", 21), "Events of the namespace: 20 of what is rejected and this one")
	w.Expect(w.eventsIn("infra")).NotTo(ContainElement(HavePrefix("ScrapeRejected")), "its Pod is allowed")

	theirs, err := w.serviceMonitor("attack")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(theirs.Spec.Endpoints).To(HaveLen(1), "a foreign monitor is left alone")
	w.Expect(w.Client.Delete(t.Context(), theirs)).To(Succeed())
	w.Eventually(func() int { found, _ := w.serviceMonitor("attack"); return len(found.Spec.Endpoints) }).Should(Equal(11),
		"one endpoint for each query that fits, and one for the rest")
	w.Eventually(func() int32 { return w.scrape().NotScrapedTotal }).Should(BeZero())
	ours, err := w.serviceMonitor("attack")
	w.Expect(err).NotTo(HaveOccurred())
	text, err := json.Marshal(ours.Spec)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(len(text)).To(BeNumerically("<", 64<<10), "bytes of the monitor")
	w.Expect(string(text)).NotTo(ContainSubstring("$("))
}

// scrape is what the status says of annotated apps.
func (w *world) scrape() v1alpha1.ScrapeStatus {
	if scrape := w.status().Scrape; scrape != nil {
		return *scrape
	}
	return v1alpha1.ScrapeStatus{}
}

// TestOlderPrometheusOperator: a limit that the installed CRDs do not define is not sent, which would have the API server refuse the
// monitor, and is sent once they do. Without the comparison of labels nothing is written.
func TestOlderPrometheusOperator(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.MonitoringCRDs()...)
	monitor := func() *monitoringv1.ServiceMonitorSpec {
		found, err := w.serviceMonitor("default")
		if err != nil {
			return nil
		}
		return &found.Spec
	}
	schema := "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/"
	full := &apiextv1.CustomResourceDefinition{}
	w.Expect(w.Client.Get(t.Context(), client.ObjectKey{Name: kinds.ServiceMonitorCRD}, full)).To(Succeed())
	patch := func(operations string) {
		crd := &apiextv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: kinds.ServiceMonitorCRD}}
		w.Expect(w.Client.Patch(t.Context(), crd, client.RawPatch(types.JSONPatchType, []byte(operations)))).To(Succeed())
	}
	patch(`[{"op": "remove", "path": "` + schema + `bodySizeLimit"}, {"op": "replace", "path": "` + schema +
		`endpoints/items/properties/relabelings/items/properties/action/enum", "value": ["replace", "keep", "drop", "labeldrop"]}]`)
	w.app("shop", nil)
	w.selectsAll()
	w.apply(`{}`)
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(beFalse(v1alpha1.ReasonCRDsOutdated, "keepequal", "0.64"))
	w.Expect(monitor()).To(BeNil())

	action, err := json.Marshal(full.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["endpoints"].Items.Schema.
		Properties["relabelings"].Items.Schema.Properties["action"].Enum)
	w.Expect(err).NotTo(HaveOccurred())
	patch(`[{"op": "replace", "path": "` + schema + `endpoints/items/properties/relabelings/items/properties/action/enum", "value": ` +
		string(action) + `}]`)
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(SatisfyAll(beTrue(), haveMessage("spec.scrape.limits.bodySize,")))
	w.Eventually(monitor).Should(SatisfyAll(HaveField("BodySizeLimit", BeNil()), HaveField("TargetLimit", HaveValue(Equal(int64(5000)))),
		HaveField("KeepDroppedTargets", HaveValue(Equal(int64(100))))))

	body, err := json.Marshal(full.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["bodySizeLimit"])
	w.Expect(err).NotTo(HaveOccurred())
	patch(`[{"op": "add", "path": "` + schema + `bodySizeLimit", "value": ` + string(body) + `}]`)
	w.Eventually(monitor).Should(HaveField("BodySizeLimit", HaveValue(Equal(monitoringv1.ByteSize("32MB")))))
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(SatisfyAll(beTrue(), Not(haveMessage("bodySize"))))
}

// TestTargetsOfOneService: one Service comes near the limit of targets by its Pods alone, which its namespace hears before it is
// reached. Another has Pods in the network of their node, which Prometheus leaves out, and its author hears why.
func TestTargetsOfOneService(t *testing.T) {
	w := beginOn(t, cluster, harness.Conditions{Options: controller.Options{Timing: controller.Timing{
		Looks: time.Second, Counts: time.Second / 10, Reports: time.Second / 10}}})
	w.installCRDs(harness.MonitoringCRDs()...)
	w.namespace("crowd")
	web, agent := tenantService("crowd", "web", nil), tenantService("crowd", "agent", nil)
	web.Spec.Ports = append(web.Spec.Ports, corev1.ServicePort{Name: "admin", Port: 81})
	w.make(web, agent)
	w.selectsAll()
	w.apply(`{scrape: {limits: {targets: 20}}}`)
	w.Eventually(w.scrape).Should(HaveField("Services", int32(2)))
	w.Expect(w.scrape()).To(SatisfyAll(HaveField("NotScrapedTotal", BeZero()), HaveField("RejectedTotal", BeZero())))

	for i := range 8 {
		w.make(tenantPod("crowd", fmt.Sprintf("web-%d", i), "web", false))
	}
	w.make(tenantPod("crowd", "agent", "agent", true))
	w.Eventually(w.scrape).Should(SatisfyAll(
		HaveField("NotScraped", ConsistOf(SatisfyAll(HaveField("Namespace", "crowd"), HaveField("Reason", v1alpha1.ReasonTargetLimit),
			haveMessage("have 16 targets", "beyond 20 targets", "spec.scrape.limits.targets")))),
		HaveField("Rejected", ConsistOf(SatisfyAll(HaveField("Kind", "Service"), HaveField("Name", "agent"),
			HaveField("Reason", ContainSubstring("spec.scrape.hostNetworkPods")))))))
	w.Eventually(func() []string { return w.eventsIn("crowd") }).Should(ConsistOf("NotScraped Namespace/crowd", "ScrapeRejected Service/agent"))
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).To(beTrue())

	w.apply(`{scrape: {limits: {targets: 30}, hostNetworkPods: {namespaceSelector: {}}}}`)
	w.Eventually(w.scrape).Should(SatisfyAll(HaveField("NotScrapedTotal", BeZero()), HaveField("RejectedTotal", BeZero()), HaveField("Services", int32(2))))
}

func tenantPod(namespace, name, app string, host bool) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{HostNetwork: host, AutomountServiceAccountToken: ptr.To(false),
			Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
}
