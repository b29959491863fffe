// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

const (
	// mostInPiece is how many objects are listed at a time: each may have 256 KiB of annotations.
	mostInPiece = 100
	// mostSelectors is how many bytes of selectors of a namespace are evaluated.
	mostSelectors = 1 << 20
	// mostBehind is how many Services of a namespace are reported: as many as the status lists.
	mostBehind = 20
)

// pieces lists the Services and Pods of a namespace, a bounded number at a time. resume is what the last piece returned to go on with.
type pieces interface {
	Services(ctx context.Context, namespace, resume string) (*corev1.ServiceList, error)
	// Pods lists the metadata of those that run or are about to, in the network of their node or outside of it.
	Pods(ctx context.Context, namespace string, host bool, resume string) (*metav1.PartialObjectMetadataList, error)
	// RunningPods lists the metadata of those that run, in the network of their node only where hosts says so.
	RunningPods(ctx context.Context, namespace string, hosts bool, resume string) (*metav1.PartialObjectMetadataList, error)
	// PortNames returns the names of the TCP ports that the containers of a Pod declare, empty ones among them.
	PortNames(ctx context.Context, namespace, pod string) ([]string, error)
	// CountPods returns how many Pods there are, whatever their state.
	CountPods(ctx context.Context, namespace string) (int, error)
	// Template returns the labels of the Pods that a workload makes.
	Template(ctx context.Context, kind index.Kind, namespace, name string) (map[string]string, error)
}

// countTargets counts what the accepted Services of a namespace select, until it is more than the limit.
func (r *Reconciler) countTargets(ctx context.Context, s *settings, namespace string, hosts bool, bound index.Bound) (*selected, error) {
	ctx, cancel := context.WithTimeout(ctx, longestLook)
	defer cancel()
	c := newSelected(s, hosts)
	if !bound.Known {
		pods, err := r.pieces.CountPods(ctx, namespace)
		if err != nil {
			return nil, fmt.Errorf("count the Pods of namespace %s: %w", namespace, err)
		}
		bound.Pods = pods
	}
	if err := r.selectServices(ctx, c, namespace); err != nil {
		return nil, err
	}
	if err := r.countPods(ctx, c, namespace, true); err != nil {
		return nil, err
	}
	if near := s.near(); near == 0 || bound.Pods*bound.PerPod < near {
		return c, nil // The others cannot matter.
	}
	return c, r.countPods(ctx, c, namespace, false)
}

// countPods counts the Pods of one kind. A namespace with more than can be listed in time has at least those.
func (r *Reconciler) countPods(ctx context.Context, c *selected, namespace string, host bool) error {
	for resume, first := "", true; first || resume != ""; first = false {
		list, err := r.pieces.Pods(ctx, namespace, host, resume)
		switch {
		case err != nil && !first && (errors.Is(err, context.DeadlineExceeded) || apierrors.IsResourceExpired(err)):
			c.partly = true
			return nil
		case err != nil:
			return fmt.Errorf("list Pods of namespace %s: %w", namespace, err)
		}
		for i := range list.Items {
			c.count(&list.Items[i], host)
		}
		if c.limit > 0 && c.most() > c.limit {
			c.partly = true
			return nil
		}
		resume = list.Continue
	}
	return nil
}

// selectServices adds the Services of a namespace that are scraped.
func (r *Reconciler) selectServices(ctx context.Context, c *selected, namespace string) error {
	for resume, first := "", true; first || resume != ""; first = false {
		list, err := r.pieces.Services(ctx, namespace, resume)
		if err != nil {
			return fmt.Errorf("list Services of namespace %s: %w", namespace, err)
		}
		for i := range list.Items {
			service := &list.Items[i]
			if cost, accepted := r.index.Accepted(namespace, service.Name); accepted {
				c.add(service, cost)
			}
		}
		resume = list.Continue
	}
	return nil
}

// selected counts the Pods that Services select, as the targets that Prometheus makes of them.
type selected struct {
	// limit of targets; 0 for none. hosts allows Pods in the network of their node, prefix is that of annotations of Pods that take
	// precedence, empty where they do not, and perService is true where each Service has a scrape pool of its own.
	limit      int
	hosts      bool
	prefix     string
	perService bool
	// portsBy is the prefix by which the ports that Services name are read; empty where they are not asked for.
	portsBy string
	// services by their selector, of so many bytes altogether.
	services map[string]*selection
	bytes    int
	// targets by scrape pool. There may be more where partly is true.
	targets map[string]int
	partly  bool
	// uids of the Services with Pods in the network of their node, by name.
	uids map[string]types.UID
}

// selection is a selector and what each Pod that it selects is.
type selection struct {
	selector labels.Selector
	// targets by scrape pool, and uids of the Services by name.
	targets map[string]int
	uids    map[string]types.UID
	// wanted are the Services, with the ports that their Pods have to have.
	wanted []wanted
}

func newSelected(s *settings, hosts bool) *selected {
	c := &selected{limit: int(s.config.TargetLimit), hosts: hosts, perService: s.rules().PerService,
		services: map[string]*selection{}, targets: map[string]int{}, uids: map[string]types.UID{}}
	if s.config.Pods {
		c.prefix = s.config.Prefix
	}
	return c
}

// add adds an accepted Service.
func (c *selected) add(service *corev1.Service, cost scrape.Special) {
	if len(service.Spec.Selector) == 0 {
		return // Its endpoints are made by hand.
	}
	key := labels.FormatLabels(service.Spec.Selector)
	if c.bytes += len(key) + len(service.Name) + len(cost.Query); c.bytes > mostSelectors {
		c.partly = true
		return
	}
	of := c.services[key]
	if of == nil {
		of = &selection{selector: labels.SelectorFromValidatedSet(service.Spec.Selector), targets: map[string]int{},
			uids: map[string]types.UID{}}
		c.services[key] = of
	}
	pool := cost.Query
	if c.perService {
		pool = service.Name
	}
	of.targets[pool] += cost.Targets
	if c.portsBy != "" && cost.Targets > 0 {
		of.wanted = append(of.wanted, wanted{app: "Service " + service.Name,
			ports: scrape.ContainerPorts(scrape.AppOf(service), c.portsBy)})
	}
	of.uids[service.Name] = service.UID
}

// count adds a Pod.
func (c *selected) count(pod *metav1.PartialObjectMetadata, host bool) {
	if c.prefix != "" && scrape.Wanted(c.prefix, pod.Annotations) {
		return // It is scraped, or rejected, as an app of its own.
	}
	set := labels.Set(pod.Labels)
	for _, of := range c.services {
		switch {
		case !of.selector.Matches(set):
		case host && !c.hosts:
			maps.Copy(c.uids, of.uids)
		default:
			for pool, targets := range of.targets {
				c.targets[pool] += targets
			}
		}
	}
}

// most is the number of targets of the scrape pool that has most.
func (c *selected) most() int {
	most := 0
	for _, targets := range c.targets {
		most = max(most, targets)
	}
	return most
}

// behind returns the first of the Services with Pods that are left out.
func (c *selected) behind(namespace string) []v1alpha1.RejectedApp {
	var rejected []v1alpha1.RejectedApp
	for _, name := range slices.Sorted(maps.Keys(c.uids))[:min(len(c.uids), mostBehind)] {
		rejected = append(rejected, v1alpha1.RejectedApp{Kind: string(index.Service), Namespace: namespace, Name: name,
			Reason: scrape.BehindInHostNetwork})
	}
	return rejected
}

// apiServer lists from the API server.
type apiServer struct {
	services kubernetes.Interface
	pods     metadata.Interface
}

func (s apiServer) Services(ctx context.Context, namespace, resume string) (*corev1.ServiceList, error) {
	return s.services.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{Limit: mostInPiece, Continue: resume})
}

func (s apiServer) Pods(ctx context.Context, namespace string, host bool, resume string) (*metav1.PartialObjectMetadataList, error) {
	selector := fields.AndSelectors(fields.OneTermEqualSelector("spec.hostNetwork", strconv.FormatBool(host)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)))
	return s.podsOf(ctx, namespace, selector, resume)
}

func (s apiServer) podsOf(
	ctx context.Context, namespace string, selector fields.Selector, resume string,
) (*metav1.PartialObjectMetadataList, error) {
	return s.pods.Resource(podsResource).Namespace(namespace).
		List(ctx, metav1.ListOptions{FieldSelector: selector.String(), Limit: mostInPiece, Continue: resume})
}

func (s apiServer) CountPods(ctx context.Context, namespace string) (int, error) {
	list, err := s.pods.Resource(podsResource).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0, err
	}
	var remaining int64
	if list.RemainingItemCount != nil {
		remaining = *list.RemainingItemCount
	}
	return len(list.Items) + int(remaining), nil
}

// RunningPods implements pieces.
func (s apiServer) RunningPods(
	ctx context.Context, namespace string, hosts bool, resume string,
) (*metav1.PartialObjectMetadataList, error) {
	selector := fields.OneTermEqualSelector("status.phase", string(corev1.PodRunning))
	if !hosts {
		selector = fields.AndSelectors(selector, fields.OneTermEqualSelector("spec.hostNetwork", "false"))
	}
	return s.podsOf(ctx, namespace, selector, resume)
}

// Template lists one object instead of getting it: the operator may list workloads anyway. No more of it is decoded than is returned.
func (s apiServer) Template(ctx context.Context, kind index.Kind, namespace, name string) (map[string]string, error) {
	resource := workloadResources[kind]
	one := &metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()}
	answer, err := s.services.AppsV1().RESTClient().Get().Namespace(namespace).Resource(resource.Resource).
		VersionedParams(one, clientgoscheme.ParameterCodec).SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx).Raw()
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Spec struct {
				Template struct{ Metadata metav1.ObjectMeta }
			}
		}
	}
	switch err := json.Unmarshal(answer, &list); {
	case err != nil:
		return nil, err
	case len(list.Items) == 0:
		return nil, apierrors.NewNotFound(resource.GroupResource(), name)
	}
	return list.Items[0].Spec.Template.Metadata.Labels, nil
}
