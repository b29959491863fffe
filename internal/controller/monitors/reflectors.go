// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// reflected is how a kind of apps is read from the API server.
type reflected struct {
	requests toolscache.ListerWatcher
	// object is an empty one in the form in which it is read.
	object runtime.Object
}

// reflectors fill the index with Services, Pods and workloads, for as long as they are needed: they are most of what a cluster has, and
// most of what the operator reads.
type reflectors struct {
	ctx     context.Context //nolint:containedctx // the controller's: they outlive the reconcile that starts them
	index   *index.Index
	watches *cluster.Watches
	kinds   map[index.Kind]reflected
	running map[index.Kind]reflector
}

type reflector struct {
	prefix string
	feed   *cluster.Feed
	stop   context.CancelFunc
}

// workloadResources are what workloads are listed as.
var workloadResources = map[index.Kind]schema.GroupVersionResource{
	index.Deployment:  appsv1.SchemeGroupVersion.WithResource("deployments"),
	index.StatefulSet: appsv1.SchemeGroupVersion.WithResource("statefulsets"),
	index.DaemonSet:   appsv1.SchemeGroupVersion.WithResource("daemonsets"),
}

// podsResource is what Pods are listed as.
var podsResource = corev1.SchemeGroupVersion.WithResource("pods")

// newReflectors reads Services whole, but compacted before they are kept, and the metadata of Pods and workloads; in pieces as well.
func newReflectors(config *rest.Config) (map[index.Kind]reflected, pieces, error) {
	binary := rest.CopyConfig(config)
	binary.ContentType, binary.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	typed, err := kubernetes.NewForConfig(binary)
	if err != nil {
		return nil, nil, fmt.Errorf("make the client of Services: %w", err)
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(config))
	if err != nil {
		return nil, nil, fmt.Errorf("make the client of Pods: %w", err)
	}
	kinds := map[index.Kind]reflected{
		index.Service: {object: &corev1.Service{}, requests: toolscache.NewListWatchFromClient(
			typed.CoreV1().RESTClient(), "services", metav1.NamespaceAll, fields.Everything())},
		index.Pod:     reflectedPods(meta, false),
		index.HostPod: reflectedPods(meta, true),
	}
	for kind, resource := range workloadResources {
		kinds[kind] = reflectedMetadata(meta.Resource(resource), fields.Everything())
	}
	return kinds, apiServer{typed, meta}, nil
}

// reflectedPods are the Pods that are in the network of their node, or those that are not.
func reflectedPods(client metadata.Interface, host bool) reflected {
	return reflectedMetadata(client.Resource(podsResource), fields.OneTermEqualSelector("spec.hostNetwork", strconv.FormatBool(host)))
}

func reflectedMetadata(objects metadata.Getter, selector fields.Selector) reflected {
	return reflected{object: &metav1.PartialObjectMetadata{}, requests: &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = selector.String()
			return objects.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = selector.String()
			return objects.Watch(ctx, options)
		},
	}}
}

// follow starts the reflectors of the given kinds, and stops the others. The index is empty of a kind that is not followed, and
// lists it anew when it is followed again, or with another prefix of annotations: those of others are not kept.
func (r *reflectors) follow(kinds []index.Kind, prefix string) {
	for kind, how := range r.kinds {
		running, found := r.running[kind]
		needed := slices.Contains(kinds, kind)
		if found && (!needed || running.prefix != prefix) {
			// It may run on for a moment: the closed store ignores it.
			running.stop()
			running.feed.Stop()
			r.index.Close(kind)
			delete(r.running, kind)
			found = false
		}
		if needed && !found {
			r.running[kind] = r.start(kind, how, prefix)
		}
	}
}

func (r *reflectors) start(kind index.Kind, how reflected, prefix string) reflector {
	ctx, stop := context.WithCancel(r.ctx)
	feed := r.watches.Reflect(kind.GroupVersionKind(), how.requests, func() bool { return r.index.Listed(kind) })
	feed.Fill(ctx, how.object, r.index.Open(kind, prefix))
	return reflector{prefix: prefix, feed: feed, stop: stop}
}

// err returns why a kind cannot be followed; nil when it can, or is not.
func (r *reflectors) err(kind index.Kind) *cluster.UnreadableError {
	if running, found := r.running[kind]; found {
		return running.feed.Err()
	}
	return nil
}
