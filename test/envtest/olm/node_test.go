// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package olm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// operatorPod is the last part of the address of the operator's pod.
const operatorPod = 20

// node plays kubelet and the Deployment controller for the operator: it runs the program of the image that the Deployment names,
// as that says, one pod whatever the number of replicas, and says in the status what comes of it.
type node struct {
	*harness.Cluster
	t         *testing.T
	namespace string

	running *harness.Program
	// template is the one that it was started for.
	template string
}

// startNode plays until the end of the test.
func startNode(t *testing.T, c *harness.Cluster, namespace string) {
	t.Helper()
	n := &node{Cluster: c, t: t, namespace: namespace}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ticker := time.NewTicker(poll); ctx.Err() == nil; <-ticker.C {
			if err := n.step(ctx); err != nil && ctx.Err() == nil {
				t.Log("node:", err)
			}
		}
		n.stop()
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// step does what is next.
func (n *node) step(ctx context.Context) error {
	deployment := &appsv1.Deployment{}
	err := n.Client.Get(ctx, client.ObjectKey{Namespace: n.namespace, Name: operatorName}, deployment)
	if apierrors.IsNotFound(err) {
		n.stop()
		return nil
	}
	if err != nil {
		return err
	}
	pod := &deployment.Spec.Template
	if template := pod.String(); template != n.template {
		n.stop()
		if err := n.run(ctx, deployment.Name, pod); err != nil {
			return err
		}
		n.template = template
	}
	seen := deployment.Status.ObservedGeneration == deployment.Generation
	updated := seen && deployment.Status.UpdatedReplicas == *deployment.Spec.Replicas
	switch ready := n.ready(ctx, &pod.Spec.Containers[0]); {
	case ready && !updated:
		return n.MarkDeploymentAvailable(ctx, n.namespace, deployment.Name)
	case !ready && !seen:
		return n.MarkRolloutStuck(ctx, n.namespace, deployment.Name)
	}
	return nil
}

func (n *node) stop() {
	if n.running != nil {
		n.running.Stop()
	}
	n.running, n.template = nil, ""
}

// run starts the program of the pod's container.
func (n *node) run(ctx context.Context, name string, pod *corev1.PodTemplateSpec) error {
	container := &pod.Spec.Containers[0]
	version, known := strings.CutPrefix(container.Image, operatorImage(""))
	if !known || programs[version] == "" {
		return fmt.Errorf("the image %s is none of %v", container.Image, slices.Sorted(maps.Keys(programs)))
	}
	kubeconfig, err := n.kubeconfigOf(ctx, pod.Spec.ServiceAccountName)
	if err != nil {
		return err
	}
	env := []string{"KUBECONFIG=" + kubeconfig}
	for _, variable := range container.Env {
		value, err := n.valueOf(&variable, pod, container)
		if err != nil {
			return err
		}
		env = append(env, variable.Name+"="+value)
	}
	// A pod has its ports to itself; processes that share a network have addresses of their own.
	args := slices.Clone(container.Args)
	for i := range args {
		args[i] = strings.Replace(args[i], "=:", "="+n.address()+":", 1)
	}
	n.t.Logf("node: %s runs %s %v", name, version, args)
	n.running, err = harness.StartProgram(ctx, n.t, env, programs[version], args...)
	return err
}

func (n *node) address() string { return n.PodAddress(operatorPod) }

// kubeconfigOf writes one with a token of the ServiceAccount, as a pod has it.
func (n *node) kubeconfigOf(ctx context.Context, account string) (string, error) {
	request := &authenticationv1.TokenRequest{}
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: n.namespace, Name: cmp.Or(account, "default")}}
	if err := n.Client.SubResource("token").Create(ctx, object, request); err != nil {
		return "", fmt.Errorf("request a token of the ServiceAccount %s: %w", object.Name, err)
	}
	const name = "pod"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: n.Config.Host, CertificateAuthorityData: n.Config.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	content, err := clientcmd.Write(*config)
	if err != nil {
		return "", err
	}
	file := filepath.Join(n.t.TempDir(), "kubeconfig")
	return file, os.WriteFile(file, content, 0o600)
}

// valueOf is what a kubelet sets a variable of the operator's container to.
func (n *node) valueOf(variable *corev1.EnvVar, pod *corev1.PodTemplateSpec, container *corev1.Container) (string, error) {
	from := variable.ValueFrom
	switch {
	case from == nil:
		return variable.Value, nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
		return n.namespace, nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.annotations['olm.targetNamespaces']":
		return pod.Annotations["olm.targetNamespaces"], nil
	case from.ResourceFieldRef != nil && from.ResourceFieldRef.Resource == "limits.memory":
		return fmt.Sprint(container.Resources.Limits.Memory().Value()), nil
	}
	return "", fmt.Errorf("node does not play the source of the variable %s of the container %s", variable.Name, container.Name)
}

// ready is what the container's readiness probe finds.
func (n *node) ready(ctx context.Context, container *corev1.Container) bool {
	probe := container.ReadinessProbe.HTTPGet
	port := probe.Port
	for _, named := range container.Ports {
		if named.Name == port.StrVal {
			port = intstr.FromInt32(named.ContainerPort)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	url := fmt.Sprintf("http://%s:%s%s", n.address(), port.String(), probe.Path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
