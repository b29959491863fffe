// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"net"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// managedNamespace is where the Deployment of the Prometheus that the operator runs is; empty where the pipeline's Prometheus is another.
func managedNamespace(found *v1alpha1.MetricsPipeline) string {
	if base := urlOf(found); base != "" && found.Status.Prometheus.Origin == prometheus.ManagedField {
		return prometheus.ManagedNamespace(base)
	}
	return ""
}

// askManaged returns a client of that Prometheus. It demands a token, which the API server's proxy of Services does not pass on, so the
// port of one of its pods is forwarded. The token is sent to who proves to be of the components' authority alone. The error is why it
// cannot be asked; a Prometheus that does not run is no such error, but what the questions say.
func askManaged(
	ctx context.Context, config *rest.Config, reader client.Reader, found *v1alpha1.MetricsPipeline, namespace string,
) (*prometheus.Client, error) {
	access, err := managedAccess(ctx, reader, found, namespace)
	if err != nil {
		return nil, granted(err, "get of that Secret")
	}
	pod, err := managedPod(ctx, reader, namespace)
	if err != nil {
		return nil, granted(err, "list of them")
	}
	if pod == "" {
		access.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, fmt.Errorf("no pod of Deployment %s/%s is ready", namespace, prometheus.ManagedName)
		}
	} else {
		forwarded, err := forward(ctx, config, client.ObjectKey{Namespace: namespace, Name: pod}, prometheus.ManagedPort)
		if err != nil {
			// The API server's refusal comes as text alone, and has the namespace.
			return nil, fmt.Errorf("forward a port of pod %s: %w; it takes create of pods/portforward", pod, err)
		}
		access.Dial = forwarded.dial
	}
	return prometheus.NewClientAt("status.prometheus.url", urlOf(found), access) //nolint:wrapcheck // it names the field
}

// managedAccess reads what it is asked with.
func managedAccess(
	ctx context.Context, reader client.Reader, found *v1alpha1.MetricsPipeline, namespace string,
) (prometheus.Access, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: namespace, Name: cluster.ManagedSecret}
	if err := reader.Get(ctx, key, secret); err != nil {
		return prometheus.Access{}, fmt.Errorf("read the token of Prometheus in Secret %s: %w", key, err)
	}
	access := prometheus.Access{Method: found.Spec.Prometheus.QueryMethod, Username: []byte(prometheus.ManagedUser),
		Password: secret.Data[cluster.TokenKey], CA: secret.Data[cluster.AuthorityKey],
		ServerName: prometheus.Managed{Namespace: namespace}.ServerName()}
	if len(access.Password) == 0 || len(access.CA) == 0 { // Without an authority the system's would verify.
		return prometheus.Access{}, fmt.Errorf("the Secret %s has no %s or no %s yet, which an operator as new as this program writes", key,
			cluster.TokenKey, cluster.AuthorityKey)
	}
	return access, nil
}

// managedPod is the oldest pod that is ready, which has the most samples; empty for none.
func managedPod(ctx context.Context, reader client.Reader, namespace string) (string, error) {
	pods := &corev1.PodList{}
	if err := reader.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels{ownership.NameLabel: prometheus.ManagedName,
		v1alpha1.ComponentLabel: prometheus.ManagedName}); err != nil {
		return "", fmt.Errorf("find the pods of Prometheus in the namespace %s: %w", namespace, err)
	}
	var oldest *corev1.Pod
	for i := range pods.Items {
		pod := &pods.Items[i]
		serves := pod.DeletionTimestamp == nil && health.PodReady(pod)
		if serves && (oldest == nil || pod.CreationTimestamp.Before(&oldest.CreationTimestamp)) {
			oldest = pod
		}
	}
	if oldest == nil {
		return "", nil
	}
	return oldest.Name, nil
}

// granted says what is to be granted where a right is missing.
func granted(err error, right string) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	return fmt.Errorf("%w; have an administrator grant you %s", err, right)
}
