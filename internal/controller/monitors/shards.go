// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
)

const (
	// largestShard is how many bytes the keys and values of a ConfigMap may have: the API server refuses more than 1 MiB.
	largestShard = 1000 << 10
	// suffix is what the name of the file of a namespace has behind the namespace's.
	suffix = ".yaml"
)

// configMap is the kind of shards.
var configMap, _ = kinds.Of(corev1.SchemeGroupVersion.WithKind("ConfigMap"))

// flushing marks the request to write what is pending for a shard: one write for all namespaces of it that have changed.
const flushing = "shard"

func flushOf(shard int) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: flushing, Name: strconv.Itoa(shard)}}
}

// Digests replaces the scrape configurations in a ConfigMap by their lengths and digests, before a cache keeps it: they are as large as
// the users of namespaces like. All others it leaves as they are.
func Digests(object any) (any, error) {
	full, ok := object.(*corev1.ConfigMap)
	if !ok || !isShard(full) {
		return object, nil
	}
	digests := make(map[string]string, len(full.Data))
	for key, value := range full.Data {
		digests[strings.Clone(key)] = digestOfText(value)
	}
	kept := full.DeepCopy()
	kept.Data = digests
	return kept, nil
}

func digestOfText(text string) string {
	return fmt.Sprintf("%d %x", len(text), sha256.Sum256([]byte(text)))
}

// lengthOf returns how many bytes a text of a digest has.
func lengthOf(digest string) int {
	number, _, _ := strings.Cut(digest, " ")
	length, err := strconv.Atoi(number)
	if err != nil {
		return len(digest) // No digest; it is not ours.
	}
	return length
}

func isShard(object client.Object) bool {
	for shard := range prometheus.Shards {
		if prometheus.ShardName(shard) == object.GetName() {
			return true
		}
	}
	return false
}

// shards are the ConfigMaps from which a Prometheus without prometheus-operator reads the scrape configurations of namespaces: the key
// NAMESPACE.yaml of the one that ShardOf says. Its methods are for the worker.
type shards struct {
	// client reads from the manager's cache, which has made digests of the values.
	client    client.Client
	applier   *apply.Applier
	namespace string
	// pending are the texts to be written, by shard and namespace; an empty one removes the key.
	pending [prometheus.Shards]map[string]string
	wrote   [prometheus.Shards]time.Time
}

func newShards(c client.Client, live client.Reader, options Options) *shards {
	return &shards{client: c, applier: apply.New(c, live, clock.RealClock{}, options.Refused), namespace: options.Namespace}
}

// cached returns the digests of each shard that exists, by key.
func (s *shards) cached(ctx context.Context) (map[int]*corev1.ConfigMap, error) {
	var list corev1.ConfigMapList
	if err := s.client.List(ctx, &list, client.InNamespace(s.namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the ConfigMaps with scrape configurations: %w", err)
	}
	found := map[int]*corev1.ConfigMap{}
	for shard := range prometheus.Shards {
		at := slices.IndexFunc(list.Items, func(one corev1.ConfigMap) bool { return one.Name == prometheus.ShardName(shard) })
		if at >= 0 && list.Items[at].DeletionTimestamp.IsZero() {
			found[shard] = &list.Items[at]
		}
	}
	return found, nil
}

// namespaces returns those that have a key in a shard.
func (s *shards) namespaces(ctx context.Context) ([]string, error) {
	cached, err := s.cached(ctx)
	var names []string
	for _, shard := range cached {
		names = append(names, namespacesIn(shard)...)
	}
	return names, err
}

func namespacesIn(shard *corev1.ConfigMap) []string {
	var names []string
	for key := range shard.Data {
		if name, is := strings.CutSuffix(key, suffix); is {
			names = append(names, name)
		}
	}
	return names
}

// set has the configuration of a namespace written with the next write of its shard, or its keys removed where the text is empty. It
// returns the shards that have something to be written.
func (s *shards) set(ctx context.Context, owner types.UID, namespace, text string) ([]int, error) {
	cached, err := s.cached(ctx)
	if err != nil {
		return nil, err
	}
	var changed []int
	key := namespace + suffix
	for shard := range prometheus.Shards {
		wanted := ""
		if shard == prometheus.ShardOf(namespace) {
			wanted = text
		}
		delete(s.pending[shard], namespace)
		is, has := dataOf(cached[shard])[key]
		if has == (wanted != "") && (!has || is == digestOfText(wanted)) && !drifted(cached[shard], owner) {
			continue
		}
		if s.pending[shard] == nil {
			s.pending[shard] = map[string]string{}
		}
		s.pending[shard][namespace] = wanted
		changed = append(changed, shard)
	}
	return changed, nil
}

func dataOf(shard *corev1.ConfigMap) map[string]string {
	if shard == nil {
		return nil
	}
	return shard.Data
}

// drifted is true for a shard without one of its labels, or without its owner: with none but others, which may not exist, it would be
// collected as garbage.
func drifted(shard *corev1.ConfigMap, owner types.UID) bool {
	if shard == nil {
		return false
	}
	for key, value := range ownership.Labels(ownership.MonitorsComponent) {
		if shard.Labels[key] != value {
			return true
		}
	}
	return !slices.ContainsFunc(shard.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == owner })
}

// flush writes what is pending for a shard, and returns what became of each namespace that has a text. The error concerns all of them,
// and leaves it pending.
func (s *shards) flush(ctx context.Context, owner metav1.OwnerReference, shard int) (map[string]error, error) {
	if len(s.pending[shard]) == 0 {
		return nil, nil
	}
	cached, err := s.cached(ctx)
	if err != nil {
		return nil, err
	}
	outcomes, data := s.fit(dataOf(cached[shard]), shard)
	if cached[shard] == nil && len(data) == 0 {
		s.pending[shard] = nil
		return outcomes, nil // It is gone, with what was to be removed from it.
	}
	// Labels and owner by server-side apply, and the keys by a patch of these alone: no other is read or written.
	if _, err := s.applier.Apply(ctx, s.empty(owner, shard)); err != nil {
		return nil, &sharedError{err}
	}
	if len(data) > 0 {
		patch, err := json.Marshal(map[string]any{"data": data})
		if err != nil {
			return nil, fmt.Errorf("write a patch of scrape configurations: %w", err)
		}
		if err := s.client.Patch(ctx, s.metadata(shard), client.RawPatch(types.MergePatchType, patch),
			client.FieldOwner(v1alpha1.FieldManager)); err != nil {
			return nil, &sharedError{fmt.Errorf("write scrape configurations into ConfigMap %s/%s: %w",
				s.namespace, prometheus.ShardName(shard), err)}
		}
	}
	s.pending[shard] = nil
	return outcomes, nil
}

// fit returns the keys to be written, of which those without a value are to be removed, and what becomes of the namespaces that have a
// text.
// A namespace never takes the place of one that has its configuration there.
func (s *shards) fit(cached map[string]string, shard int) (map[string]error, map[string]any) {
	sizes, size := maps.Clone(cached), 0
	for _, namespace := range slices.Sorted(maps.Keys(s.pending[shard])) {
		if s.pending[shard][namespace] == "" {
			delete(sizes, namespace+suffix)
		}
	}
	for key, digest := range sizes {
		size += len(key) + lengthOf(digest)
	}
	outcomes, data := map[string]error{}, map[string]any{}
	for _, namespace := range slices.Sorted(maps.Keys(s.pending[shard])) {
		key, text := namespace+suffix, s.pending[shard][namespace]
		before, has := cached[key]
		if text == "" {
			if has {
				data[key] = nil
			}
			continue
		}
		outcomes[namespace] = nil
		grown := len(text) + len(key)
		if has {
			grown -= lengthOf(before) + len(key)
		}
		if grown > 0 && size+grown > largestShard {
			outcomes[namespace] = &limitError{fmt.Sprintf("ConfigMap %s, which has the scrape configurations of the namespace and of "+
				"others, has no room for %d bytes more; have an administrator leave namespaces out by spec.scrape.namespaceSelector, or "+
				"install prometheus-operator", prometheus.ShardName(shard), grown)}
			continue
		}
		size += grown
		if !has || before != digestOfText(text) {
			data[key] = text
		}
	}
	return outcomes, data
}

// prune deletes the shards that have no configuration, or all of them.
func (s *shards) prune(ctx context.Context, all bool) error {
	cached, err := s.cached(ctx)
	if err != nil {
		return err
	}
	for _, shard := range cached {
		if !all && len(namespacesIn(shard)) > 0 || !ownership.Labeled(shard) {
			continue
		}
		shard = shard.DeepCopy()
		shard.SetGroupVersionKind(configMap.GroupVersionKind)
		if _, err := s.applier.Delete(ctx, shard); err != nil {
			return err //nolint:wrapcheck // it names the object
		}
	}
	return nil
}

// forget drops what is pending.
func (s *shards) forget() { s.pending = [prometheus.Shards]map[string]string{} }

// empty returns a shard as it is applied, without the keys.
func (s *shards) empty(owner metav1.OwnerReference, shard int) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(configMap.GroupVersionKind)
	object.SetNamespace(s.namespace)
	object.SetName(prometheus.ShardName(shard))
	object.SetLabels(ownership.Labels(ownership.MonitorsComponent))
	object.SetOwnerReferences([]metav1.OwnerReference{owner})
	return object
}

// metadata is a shard in the form in which the answer to a patch does not have the values.
func (s *shards) metadata(shard int) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(configMap.GroupVersionKind)
	object.SetNamespace(s.namespace)
	object.SetName(prometheus.ShardName(shard))
	return object
}

// sharedError is about what the configurations of several namespaces depend on: no user of one can have caused it.
type sharedError struct{ error }

func (e *sharedError) Unwrap() error { return e.error }

// limitError is about a limit that the configuration of a namespace meets.
type limitError struct{ text string }

func (e *limitError) Error() string { return e.text }
