// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"sync"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// switchBackend is about one API of both components.
const switchBackend = "switch the backend"

// ownershipScenarios are about who serves an API, who issues certificates, and the end of it all.
func ownershipScenarios() []scenario {
	const (
		observed    = smallSpec + "resourceMetrics: {policy: Observe}\n"
		builtIn     = smallSpec + "certificates: {provider: BuiltIn}\n"
		certManager = smallSpec + "certificates: {provider: CertManager}\n"
	)
	return []scenario{
		{name: "take over", spec: observed, setup: bundled, given: registerTheirs, act: func(w *world) {
			w.apply(smallSpec + "resourceMetrics: {policy: TakeOver}\n")
		}},
		{name: "give back", spec: smallSpec, act: func(w *world) { w.apply(smallSpec + "resourceMetrics: {policy: Disabled}\n") }},
		{name: switchBackend, spec: largeSpec, act: func(w *world) {
			w.apply(largeSpec + "resourceMetrics: {backend: PrometheusAdapter}\n")
		}},
		{name: "cert-manager is to issue", spec: builtIn, setup: func(w *world) { w.issuing() }, act: func(w *world) { w.apply(certManager) }},
		{name: "cert-manager is no more to issue", spec: certManager, setup: func(w *world) { w.issuing() }, act: func(w *world) { w.apply(builtIn) }},
		{name: "uninstall: the operator's namespace goes", spec: largeSpec, given: apps, unready: true, act: func(w *world) {
			w.must(w.Client.Delete(w.Ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: harness.OperatorNamespace}}))
		}},
	}
}

// bundled lets a metrics-server run that came with the cluster.
func bundled(w *world) {
	w.Helper()
	remove, err := w.StartBundled(w.Ctx, w.PodAddress(12))
	w.must(err)
	w.Cleanup(func() { w.must(remove(w.Ctx)) })
}

// registerTheirs registers the bundled one as soon as the operator has given the API up.
func registerTheirs(w *world) {
	w.Helper()
	w.eventually(func() string {
		found := &apiregv1.APIService{}
		err := w.Client.Get(w.Ctx, client.ObjectKeyFromObject(harness.BundledAPIService()), found)
		if apierrors.IsNotFound(err) {
			err = w.Client.Create(w.Ctx, harness.BundledAPIService(), client.FieldOwner("distribution"))
		}
		if err != nil {
			return err.Error()
		}
		if ownership.Ours(found) {
			return "the operator has not given the API up"
		}
		return ""
	})
}

// issuer plays cert-manager's controllers.
type issuer struct {
	runs  bool
	mutex sync.Mutex
	// except is the component that gets no certificate; empty for none.
	except string
}

// withhold has the issuer issue nothing for a component from now on; empty for none.
func (i *issuer) withhold(component string) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.except = component
}

// issuing installs cert-manager's CRDs, and issues what its controllers would, once each, until the end of the test.
func (w *world) issuing() {
	w.Helper()
	if w.issuer.runs {
		return
	}
	for _, file := range harness.CertManagerCRDs() {
		w.must(w.InstallCRD(w.Ctx, file))
	}
	manager, err := w.NewCertManager()
	w.must(err)
	ctx, end := context.WithCancel(w.Ctx)
	var failure error
	var issues sync.WaitGroup
	w.issuer.runs = true
	issues.Go(func() { failure = w.issuer.issueAll(ctx, w.Cluster, manager) })
	w.Cleanup(func() {
		end()
		issues.Wait()
		w.issuer.runs = false
		w.must(failure, "issuing: ")
		for _, file := range harness.CertManagerCRDs() {
			w.must(w.RemoveCRD(w.Ctx, file))
		}
	})
}

// issueAll issues each serving certificate whose Secret does not exist until ctx ends.
func (i *issuer) issueAll(ctx context.Context, c *harness.Cluster, manager *harness.CertManager) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(poll):
		}
		requested := &certmanagerv1.CertificateList{}
		if err := c.Client.List(ctx, requested, client.InNamespace(harness.OperatorNamespace)); err != nil && ctx.Err() == nil {
			return err
		}
		for _, certificate := range requested.Items {
			err := i.issue(ctx, c, manager, certificate)
			if err != nil && !apierrors.IsNotFound(err) && !errors.Is(err, context.Canceled) {
				return err
			}
		}
	}
}

// issue issues one, and nothing is withheld meanwhile. Without a pipeline there is nothing to issue: cert-manager takes seconds,
// and by then garbage collection, which may delete a Secret first, has deleted its Certificate as well.
func (i *issuer) issue(ctx context.Context, c *harness.Cluster, manager *harness.CertManager, of certmanagerv1.Certificate) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	key := client.ObjectKey{Namespace: harness.OperatorNamespace, Name: of.Spec.SecretName}
	if of.Name == i.except || of.Spec.IsCA || !apierrors.IsNotFound(c.Client.Get(ctx, key, &corev1.Secret{})) {
		return nil
	}
	pipelines := &v1alpha1.MetricsPipelineList{}
	if err := c.Client.List(ctx, pipelines); err != nil || len(pipelines.Items) == 0 {
		return err
	}
	return manager.Issue(ctx, client.ObjectKeyFromObject(&of))
}

// restoreNamespace makes the operator's namespace one that stays, if it is being deleted: there is no controller that removes what
// is in it, so that is still there.
func (w *world) restoreNamespace() {
	w.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: harness.OperatorNamespace}}
	w.must(w.Client.Get(w.Ctx, client.ObjectKeyFromObject(namespace), namespace))
	if namespace.DeletionTimestamp.IsZero() {
		return
	}
	again := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace.Name, Labels: namespace.Labels}}
	namespace.Spec.Finalizers = nil
	w.must(w.Client.SubResource("finalize").Update(w.Ctx, namespace))
	w.must(w.Client.Create(w.Ctx, again))
}
