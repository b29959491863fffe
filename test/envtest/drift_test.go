// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// edits are a change of each kind of managed object that breaks what it is for.
var edits = map[string]func(object map[string]any){
	"APIService":         func(o map[string]any) { o["spec"].(map[string]any)["versionPriority"] = int64(7) },
	"ClusterRole":        func(o map[string]any) { o["rules"] = []any{} },
	"ClusterRoleBinding": func(o map[string]any) { o["subjects"] = []any{} },
	"Deployment":         func(o map[string]any) { o["spec"].(map[string]any)["replicas"] = int64(0) },
	"NetworkPolicy":      func(o map[string]any) { o["spec"].(map[string]any)["ingress"] = []any{} },
	"ConfigMap":          func(o map[string]any) { o["binaryData"].(map[string]any)["form.json.gz"] = "bm90aGluZw==" },
	"PodDisruptionBudget": func(o map[string]any) {
		o["spec"].(map[string]any)["minAvailable"] = int64(0)
	},
	"Secret": func(o map[string]any) { o["data"].(map[string]any)["ca.crt"] = "bm90aGluZw==" },
	"Service": func(o map[string]any) {
		o["spec"].(map[string]any)["ports"].([]any)[0].(map[string]any)["targetPort"] = int64(1)
	},
	"ServiceAccount": func(o map[string]any) {
		o["metadata"].(map[string]any)["labels"].(map[string]any)[v1alpha1.ComponentLabel] = "other"
	},
}

const (
	othersLabel = "example.com/owner"
	otherOwner  = "another-manager"
)

// TestEditedObjectsComeBack: whatever others change in an object of ours is repaired at once; what they add to it and
// we do not care about stays.
func TestEditedObjectsComeBack(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.ready()
	w.rest() // What was written last may get the APIService for an owner as well, once there is one.
	for _, object := range w.deployed() {
		before := w.read(object)
		edit, known := edits[object.Kind]
		w.Expect(known).To(BeTrue(), "%s is a kind that edits does not know: add a change of it", object.Kind)
		changed := before.DeepCopy()
		edit(changed.Object)
		labels := changed.GetLabels()
		labels[othersLabel] = otherOwner
		changed.SetLabels(labels)
		w.Expect(w.Client.Update(t.Context(), changed, client.FieldOwner(otherOwner))).To(Succeed(), identity(object))
		w.Expect(ours(changed)).NotTo(Equal(ours(before)), "the change of %s has changed nothing", identity(object))

		w.Eventually(func() map[string]any { return ours(w.read(object)) }).Should(Equal(ours(before)), identity(object))
		w.Expect(w.read(object).GetLabels()).To(HaveKeyWithValue(othersLabel, otherOwner), identity(object))
	}
	w.Eventually(w.events).Should(ContainElement(HavePrefix("DriftRepaired: ")))
}

// TestLostLabelComesBack: an object that loses the label by which the operator finds it is still its own.
func TestLostLabelComesBack(t *testing.T) {
	w := begin(t)
	w.apply(`{}`)
	w.Eventually(func() []string { return identities(w.managed()) }).Should(ConsistOf(everything))
	for _, object := range w.deployed() {
		unlabeled := w.read(object)
		labels := unlabeled.GetLabels()
		delete(labels, v1alpha1.ManagedLabel)
		unlabeled.SetLabels(labels)
		w.Expect(w.Client.Update(t.Context(), unlabeled, client.FieldOwner(otherOwner))).To(Succeed(), identity(object))
		w.Eventually(func() map[string]string { return w.read(object).GetLabels() }).Should(
			HaveKeyWithValue(v1alpha1.ManagedLabel, v1alpha1.SingletonName), identity(object))
	}
}

// TestDeletedObjectsComeBack: whatever others delete is made again at once.
func TestDeletedObjectsComeBack(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	backend := w.ready()
	for _, object := range w.deployed() {
		w.Expect(w.Client.Delete(t.Context(), ptr.To(object))).To(Succeed(), identity(object))
		w.Eventually(func(g Gomega) {
			again := w.get(object)
			g.Expect(again.GetUID()).NotTo(BeElementOf(object.UID, types.UID("")), identity(object))
		}).Should(Succeed())
		// The pods follow.
		switch object.Kind {
		case "Secret":
			w.Eventually(w.certificateVerifies).Should(Succeed())
			w.Expect(backend.Reload(t.Context())).To(Succeed())
		case "Deployment":
			w.Expect(w.MarkDeploymentAvailable(t.Context(), object.Namespace, object.Name)).To(Succeed())
		}
	}
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
}

// certificateVerifies returns an error until the serving pair is one of the present authority.
func (w *world) certificateVerifies() error {
	secret := &corev1.Secret{}
	if err := w.Client.Get(w.t.Context(), inOperatorNamespace("metricspipeline-ca"), secret); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data[corev1.TLSCertKey])
	if err := w.Client.Get(w.t.Context(), inOperatorNamespace(metricsServer+"-tls"), secret); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return err
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "metrics-server." + harness.OperatorNamespace + ".svc"})
	return err
}

// deployed returns the managed objects that the operator writes: EndpointSlices have its label, but from their controller.
func (w *world) deployed() []metav1.PartialObjectMetadata {
	w.t.Helper()
	var deployed []metav1.PartialObjectMetadata
	for _, object := range w.managed() {
		if object.Kind != "EndpointSlice" {
			deployed = append(deployed, object)
		}
	}
	w.Expect(len(deployed)).To(BeNumerically(">=", len(everything)))
	return deployed
}

// read returns an object as it stands.
func (w *world) read(object metav1.PartialObjectMetadata) *unstructured.Unstructured {
	w.t.Helper()
	found := w.get(object)
	w.Expect(found.GetUID()).NotTo(BeEmpty(), "%s is deleted", identity(object))
	return found
}

// get is read for an object that may be absent, and is empty then.
func (w *world) get(object metav1.PartialObjectMetadata) *unstructured.Unstructured {
	w.t.Helper()
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(object.GroupVersionKind())
	w.Expect(client.IgnoreNotFound(w.Client.Get(w.t.Context(), client.ObjectKeyFromObject(&object), found))).To(Succeed())
	return found
}

// ours is an object without what others write: the status, the bookkeeping of the API server, and their label.
func ours(object *unstructured.Unstructured) map[string]any {
	kept := object.DeepCopy()
	unstructured.RemoveNestedField(kept.Object, "status")
	unstructured.RemoveNestedField(kept.Object, "metadata", "labels", othersLabel)
	kept.SetManagedFields(nil)
	kept.SetResourceVersion("")
	kept.SetGeneration(0)
	return kept.Object
}
