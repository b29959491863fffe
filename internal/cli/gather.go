// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/ownership"
)

const (
	// operatorName is the Deployment of the operator, and its value of the label ownership.NameLabel.
	operatorName = "metricspipeline-operator"
	// usualNamespace is that of install.yaml.
	usualNamespace = "metricspipeline-system"
)

// gathered is what a report has so far. What cannot be read is a problem, and the rest stands.
type gathered struct {
	reader    reader
	clients   kubernetes.Interface
	namespace string
	// source is the namespace of the chosen Prometheus, which is no tenant's.
	source string

	pods     []corev1.Pod
	files    []reportFile
	problems []string
}

func (g *gathered) fail(what string, err error) {
	g.problems = append(g.problems, what+": "+strings.ReplaceAll(err.Error(), "\n", " "))
}

// write adds a file with an object, or several, as YAML.
func (g *gathered) write(name string, object any) {
	content, err := yaml.Marshal(object)
	if err != nil {
		g.fail("write "+name, err)
		return
	}
	g.files = append(g.files, reportFile{name, content})
}

// findNamespace finds the operator by its Deployment. Who may not list those of all namespaces names it, or has it where install.yaml does.
func (g *gathered) findNamespace(ctx context.Context) {
	if g.namespace != "" {
		return
	}
	g.namespace = usualNamespace
	found := appsv1.DeploymentList{}
	err := g.reader.List(ctx, &found, client.MatchingLabels{ownership.NameLabel: operatorName}, client.Limit(mostObjects))
	switch {
	case err != nil:
		g.fail("find the operator's namespace, taken to be "+usualNamespace+"; set --operator-namespace if it is another one", err)
	case len(found.Items) == 0:
		g.fail("find the operator's namespace", errors.New("no Deployment has the label "+ownership.NameLabel+"="+operatorName+
			": install the operator, or set --operator-namespace"))
	default:
		g.namespace = found.Items[0].Namespace
	}
}

func (g *gathered) versions(known versions) {
	g.write("versions.yaml", known)
	for _, problem := range known.Problems {
		g.fail("versions", errors.New(problem))
	}
}

func (g *gathered) pipeline(ctx context.Context) {
	found, err := pipeline(ctx, g.reader)
	var none *noPipelineError
	if errors.As(err, &none) {
		g.files = append(g.files, reportFile{"metricspipeline.yaml", []byte("# " + none.Error() + "\n")})
		return
	}
	if err != nil {
		g.fail("metricspipeline.yaml", err)
		return
	}
	if chosen := found.Status.Prometheus; chosen != nil && chosen.Chosen != nil {
		g.source = chosen.Chosen.Namespace
	}
	if ref := found.Spec.Prometheus.Ref; ref != nil {
		g.source = ref.Namespace
	}
	cleanPipeline(found)
	g.write("metricspipeline.yaml", found)
}

// apiServices are those of the metrics APIs. Their field managers say who owns them.
func (g *gathered) apiServices(ctx context.Context) {
	for _, api := range metricsapi.All() {
		found := &apiregv1.APIService{}
		err := g.reader.Get(ctx, client.ObjectKey{Name: api.Name()}, found)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			g.fail("apiservices/"+api.Name()+".yaml", err)
		default:
			found.APIVersion, found.Kind = apiregv1.SchemeGroupVersion.String(), "APIService"
			delete(found.Annotations, corev1.LastAppliedConfigAnnotation)
			g.write("apiservices/"+api.Name()+".yaml", found)
		}
	}
}

// workloads are the Deployments and Pods of the operator and its components. Others in the namespace are nobody's business.
func (g *gathered) workloads(ctx context.Context) {
	deployments := appsv1.DeploymentList{}
	if err := g.reader.List(ctx, &deployments, client.InNamespace(g.namespace), client.Limit(mostObjects)); err != nil {
		g.fail("deployments", err)
	}
	for i := range deployments.Items {
		if deployment := &deployments.Items[i]; ours(deployment) {
			deployment.APIVersion, deployment.Kind = "apps/v1", "Deployment"
			cleanMeta(&deployment.ObjectMeta)
			cleanPod(&deployment.Spec.Template.Spec)
			g.write("deployments/"+deployment.Name+".yaml", deployment)
		}
	}
	pods := corev1.PodList{}
	if err := g.reader.List(ctx, &pods, client.InNamespace(g.namespace), client.Limit(mostObjects)); err != nil {
		g.fail("pods", err)
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; ours(pod) {
			pod.APIVersion, pod.Kind = "v1", "Pod"
			cleanMeta(&pod.ObjectMeta)
			cleanPod(&pod.Spec)
			g.pods = append(g.pods, *pod)
			g.write("pods/"+pod.Name+".yaml", pod)
		}
	}
}

// ours is true of what the operator manages and of the operator. Pods carry the component's label, and not always the pipeline's.
func ours(object client.Object) bool {
	labels := object.GetLabels()
	return ownership.Labeled(object) || labels[v1alpha1.ComponentLabel] != "" || labels[ownership.NameLabel] == operatorName
}

// events are those about the pipeline and in the operator's namespace, the newest last.
func (g *gathered) events(ctx context.Context) {
	var all []corev1.Event
	inNamespace := corev1.EventList{}
	if err := g.reader.List(ctx, &inNamespace, client.InNamespace(g.namespace), client.Limit(page)); err != nil {
		g.fail("events.txt", err)
	}
	all = append(all, inNamespace.Items...)
	// Events about a cluster-scoped object are in the namespace default.
	about := corev1.EventList{}
	if err := g.reader.List(ctx, &about, client.InNamespace(corev1.NamespaceDefault), client.Limit(page),
		client.MatchingFields{"involvedObject.kind": "MetricsPipeline"}); err != nil {
		g.fail("events.txt", err)
	}
	all = append(all, about.Items...)
	slices.SortStableFunc(all, func(a, b corev1.Event) int { return happened(a).Compare(happened(b).Time) })
	var out strings.Builder
	for _, event := range all {
		fmt.Fprintf(&out, "%s  %s  %s %s  %s: %s\n", happened(event).UTC().Format("2006-01-02T15:04:05Z"), event.Type,
			event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message)
	}
	g.files = append(g.files, reportFile{"events.txt", []byte(out.String())})
}

// logs of each container, and of the one before it where that was restarted.
func (g *gathered) logs(ctx context.Context) {
	for _, pod := range g.pods {
		for _, container := range pod.Status.ContainerStatuses {
			g.log(ctx, pod.Name, container.Name, false)
			if container.RestartCount > 0 {
				g.log(ctx, pod.Name, container.Name, true)
			}
		}
	}
}

func (g *gathered) log(ctx context.Context, pod, container string, previous bool) {
	lines, most := int64(logLines), int64(mostLog)
	name := "logs/" + pod + "/" + container + ".log"
	if previous {
		name = "logs/" + pod + "/" + container + ".previous.log"
	}
	stream, err := g.clients.CoreV1().Pods(g.namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container, Previous: previous,
		TailLines: &lines, LimitBytes: &most}).Stream(ctx)
	if err != nil {
		g.fail(name, err)
		return
	}
	defer stream.Close()
	content, err := io.ReadAll(io.LimitReader(stream, mostLog))
	if err != nil {
		g.fail(name, err)
	}
	g.files = append(g.files, reportFile{name, content})
}

// finish replaces what is not to be in a report, in every file, and says what could not be read.
func (g *gathered) finish(ctx context.Context) {
	names, err := g.tenants(ctx)
	if err != nil && !meta.IsNoMatchError(err) {
		g.fail("list namespaces, to replace their names in logs", err)
	}
	redact := newRedactor(names)
	for i, problem := range g.problems {
		g.problems[i] = string(redact.text([]byte(problem)))
	}
	if len(g.problems) > 0 {
		g.files = append(g.files, reportFile{"errors.txt", []byte(strings.Join(g.problems, "\n") + "\n")})
	}
	for i := range g.files {
		g.files[i].content = redact.text(g.files[i].content)
	}
	slices.SortFunc(g.files, func(a, b reportFile) int { return strings.Compare(a.name, b.name) })
}
