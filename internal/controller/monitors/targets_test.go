// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// listed are the Services and Pods of the cluster, in pieces of two.
type listed struct {
	services    []corev1.Service
	pods, hosts []metav1.PartialObjectMetadata
	// err is the answer to each list of Pods, of which there were so many.
	err   error
	lists int
	// templates are the labels of those of workloads, by name, of which so many were read.
	templates map[string]map[string]string
	reads     int
	// ports are the names of those of Pods, which were read so many times.
	ports     map[string][]string
	portReads int
}

func piece[T any](all []T, resume string) (items []T, next string) {
	start, _ := strconv.Atoi(resume)
	end := min(start+2, len(all))
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[start:end], next
}

func (l *listed) Services(_ context.Context, _, resume string) (*corev1.ServiceList, error) {
	list := &corev1.ServiceList{}
	list.Items, list.Continue = piece(l.services, resume)
	return list, nil
}

func (l *listed) Pods(_ context.Context, _ string, host bool, resume string) (*metav1.PartialObjectMetadataList, error) {
	l.lists++
	list, all := &metav1.PartialObjectMetadataList{}, l.pods
	if host {
		all = l.hosts
	}
	list.Items, list.Continue = piece(all, resume)
	return list, l.err
}

func (l *listed) RunningPods(_ context.Context, _ string, hosts bool, resume string) (*metav1.PartialObjectMetadataList, error) {
	l.lists++
	list, all := &metav1.PartialObjectMetadataList{}, l.pods
	if hosts {
		all = slices.Concat(l.pods, l.hosts)
	}
	list.Items, list.Continue = piece(all, resume)
	return list, l.err
}

// PortNames implements pieces: a Pod of which nothing is stated has the port "http".
func (l *listed) PortNames(_ context.Context, _, pod string) ([]string, error) {
	l.portReads++
	if names, stated := l.ports[pod]; stated {
		return names, nil
	}
	return []string{"http"}, nil
}

func (l *listed) CountPods(context.Context, string) (int, error) {
	return len(l.pods) + len(l.hosts), l.err
}

func (l *listed) Template(_ context.Context, kind index.Kind, _, name string) (map[string]string, error) {
	l.reads++
	template, found := l.templates[name]
	if !found {
		return nil, apierrors.NewNotFound(workloadResources[kind].GroupResource(), name)
	}
	return template, nil
}

// serves makes Services and Pods known by their watches and their lists.
func (w *world) serves(t *testing.T, l *listed) {
	t.Helper()
	w.r.pieces = l
	for i := range l.services {
		must(t, w.services().Add(&l.services[i]))
	}
	for i := range l.pods {
		must(t, w.pods().Add(&l.pods[i]))
	}
	for i := range l.hosts {
		must(t, w.stores[index.HostPod].Add(&l.hosts[i]))
	}
}

// look carries out the looks that a report requests, and returns how many there were.
func (w *world) look(t *testing.T) int {
	t.Helper()
	w.requested()
	w.clock.SetTime(w.clock.Now().Add(10 * time.Minute))
	w.observe(t)
	looks := 0
	w.mu.Lock()
	delayed := slices.Clone(w.delayed)
	w.mu.Unlock()
	for _, name := range []string{"bank", "shop"} {
		if slices.ContainsFunc(delayed, func(request string) bool { return strings.HasPrefix(request, name+" after") }) {
			looks++
			_, err := w.r.Reconcile(t.Context(), lookAt(name))
			must(t, err)
		}
	}
	return looks
}

func selecting(name string, annotations map[string]string, ports ...corev1.ServicePort) corev1.Service {
	s := service("shop", name, annotations)
	s.Spec.Selector = map[string]string{"app": "web"}
	if len(ports) > 0 {
		s.Spec.Ports = ports
	}
	return *s
}

func selectedPods(n int, annotations map[string]string) []metav1.PartialObjectMetadata {
	var all []metav1.PartialObjectMetadata
	for i := range n {
		p := pod("shop", fmt.Sprintf("web-%d", i), annotations)
		p.Labels = map[string]string{"app": "web"}
		all = append(all, *p)
	}
	return all
}

// TestTargetsOfServices are what their selectors make of the Pods, in the scrape pool that has most.
func TestTargetsOfServices(t *testing.T) {
	two := []corev1.ServicePort{{Name: "a", Port: 80, TargetPort: intstr.FromInt32(8080)}, {Name: "b", Port: 81, TargetPort: intstr.FromInt32(8081)}}
	alike := []corev1.ServicePort{two[0], {Name: "b", Port: 81, TargetPort: intstr.FromInt32(8080)},
		{Name: "c", Port: 53, TargetPort: intstr.FromInt32(53), Protocol: corev1.ProtocolUDP}}
	for name, tc := range map[string]struct {
		services []corev1.Service
		pods     []metav1.PartialObjectMetadata
		each     bool
		// near is a part of the message; empty where nothing is near.
		near string
	}{
		"7 of 10":                         {services: []corev1.Service{selecting("a", annotated())}, pods: selectedPods(7, nil)},
		"8 of 10":                         {services: []corev1.Service{selecting("a", annotated())}, pods: selectedPods(8, nil), near: "have 8 targets"},
		"beyond it":                       {services: []corev1.Service{selecting("a", annotated())}, pods: selectedPods(20, nil), near: "have at least 12 targets"},
		"two ports":                       {services: []corev1.Service{selecting("a", annotated(), two...)}, pods: selectedPods(4, nil), near: "have 8 targets"},
		"two ports, one of them named":    {services: []corev1.Service{selecting("a", annotated("port", "a"), two...)}, pods: selectedPods(5, nil)},
		"ports that lead to the same one": {services: []corev1.Service{selecting("a", annotated(), alike...)}, pods: selectedPods(5, nil)},
		"two Services": {services: []corev1.Service{selecting("a", annotated()), selecting("b", annotated())}, pods: selectedPods(4, nil),
			near: "The 2 annotated Services of the namespace have 8 targets"},
		"two Services, each a pool": {services: []corev1.Service{selecting("a", annotated()), selecting("b", annotated())},
			pods: selectedPods(4, nil), each: true},
		"a query has a pool of its own": {services: []corev1.Service{selecting("a", annotated()), selecting("b", annotated("path", "/m?x=1"))},
			pods: selectedPods(4, nil)},
		"not annotated":             {services: []corev1.Service{selecting("a", nil)}, pods: selectedPods(9, nil)},
		"selects others":            {services: []corev1.Service{*service("shop", "a", annotated())}, pods: selectedPods(9, nil)},
		"Pods annotated themselves": {services: []corev1.Service{selecting("a", annotated()), selecting("b", annotated())}, pods: selectedPods(7, annotated())},
	} {
		t.Run(name, func(t *testing.T) {
			w, limit := working(t), int64(10)
			w.change(t, func(s *v1alpha1.ScrapeSpec) {
				s.Limits.Targets = &limit
				if tc.each {
					s.Granularity = v1alpha1.ScrapePerService
				}
			})
			w.serves(t, &listed{services: tc.services, pods: tc.pods})
			w.look(t)
			if tc.near == "" {
				if _, status := w.observe(t); status.NotScrapedTotal != 0 || len(w.events) != 0 {
					t.Errorf("namespaces %+v, Events %q", status.NotScraped, w.events)
				}
				return
			}
			w.expectProblem(t, "shop", v1alpha1.ReasonTargetLimit, tc.near)
		})
	}
}

// TestLooksAreFew: none where nothing can come near the limit, one after a change, and at most one in some minutes.
func TestLooksAreFew(t *testing.T) {
	w, limit := working(t), int64(10)
	w.change(t, func(s *v1alpha1.ScrapeSpec) { s.Limits.Targets = &limit })
	l := &listed{services: []corev1.Service{selecting("a", annotated())}, pods: selectedPods(7, nil)}
	w.serves(t, l)
	if looks := w.look(t); looks != 0 || l.lists != 0 {
		t.Errorf("7 Pods: %d looks, %d lists", looks, l.lists)
	}
	l.pods = selectedPods(8, nil)
	w.requested()
	must(t, w.pods().Add(&l.pods[7]))
	if _, delayed := w.requested(); !slices.Contains(delayed, " after "+countsPeriod.String()) {
		t.Errorf("the eighth Pod is no event: %q", delayed)
	}
	for i, want := range []int{1, 0, 0} {
		if looks := w.look(t); looks != want {
			t.Errorf("report %d: %d looks, want %d", i, looks, want)
		}
	}
	l.pods = selectedPods(9, nil)
	w.serves(t, l)
	w.look(t)
	lists := l.lists
	l.pods = selectedPods(10, nil)
	w.serves(t, l)
	w.requested()
	w.observe(t)
	if _, delayed := w.requested(); !slices.Contains(delayed, "shop after "+lookEvery.String()) {
		t.Errorf("right after a look: %q", delayed)
	}
	if result, err := w.r.Reconcile(t.Context(), lookAt("shop")); err != nil || result.RequeueAfter != lookEvery || l.lists != lists {
		t.Errorf("right after a look: %+v, %v, %d lists more", result, err, l.lists-lists)
	}
}

// TestServiceBeforeHostPods: its author reads why Prometheus leaves its Pods out, once, and until the Pods or the spec change.
func TestServiceBeforeHostPods(t *testing.T) {
	w := working(t)
	l := &listed{services: []corev1.Service{selecting("agent", annotated()), *service("shop", "other", annotated())}, hosts: selectedPods(1, nil)}
	w.serves(t, l)
	w.look(t)
	want := v1alpha1.RejectedApp{Kind: "Service", Namespace: "shop", Name: "agent", Reason: scrape.BehindInHostNetwork}
	for range 2 {
		if _, status := w.observe(t); status.RejectedTotal != 1 || len(status.Rejected) != 1 || status.Rejected[0] != want {
			t.Errorf("rejected: %+v", status.Rejected)
		}
		w.look(t)
	}
	if !slices.Equal(w.rejected, []string{"Service shop/agent"}) {
		t.Errorf("Events %q", w.rejected)
	}

	// After a start it stands until it has been looked at, and gets no Event again.
	_, status := w.observe(t)
	again := working(t)
	again.serves(t, l)
	p := pipeline()
	must(t, again.client.Get(t.Context(), client.ObjectKeyFromObject(p), p))
	p.Status.Scrape = &status
	must(t, again.client.Update(t.Context(), p))
	for range 2 {
		if _, status := again.observe(t); len(status.Rejected) != 1 || status.Rejected[0] != want {
			t.Errorf("after a start: %+v", status.Rejected)
		}
		again.look(t)
	}
	if len(again.rejected) != 0 {
		t.Errorf("after a start: Events %q", again.rejected)
	}

	must(t, w.stores[index.HostPod].Delete(&l.hosts[0]))
	l.hosts = nil
	w.look(t)
	if _, status := w.observe(t); status.RejectedTotal != 0 {
		t.Errorf("without the Pod: %+v", status.Rejected)
	}
}

// TestHostPodsThatAreSaidAlready: one that is annotated itself is rejected as an app, and where they are allowed nothing is wrong.
func TestHostPodsThatAreSaidAlready(t *testing.T) {
	for name, tc := range map[string]struct {
		annotations map[string]string
		allowed     bool
		rejected    int32
	}{
		"annotated": {annotated(), false, 1},
		"allowed":   {nil, true, 0},
	} {
		w := working(t)
		if tc.allowed {
			w.change(t, func(s *v1alpha1.ScrapeSpec) { s.HostNetworkPods = &v1alpha1.HostNetworkPods{} })
		}
		w.serves(t, &listed{services: []corev1.Service{selecting("agent", annotated())}, hosts: selectedPods(1, tc.annotations)})
		w.look(t)
		if _, status := w.observe(t); status.RejectedTotal != tc.rejected {
			t.Errorf("%s: %+v", name, status.Rejected)
		}
	}
}

// TestLookThatFails: a missing permission is named, and what was known stays. Any other error is one of the moment.
func TestLookThatFails(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(`User "a" cannot list resource "pods"`))
	for name, err := range map[string]error{"cannot list": forbidden, "": errors.New("timeout")} {
		w := working(t)
		l := &listed{services: []corev1.Service{selecting("agent", annotated())}, hosts: selectedPods(1, nil)}
		w.serves(t, l)
		w.look(t)
		l.err = err
		l.hosts = selectedPods(2, nil)
		w.serves(t, l)
		w.look(t)
		state, status := w.observe(t)
		if state.Met != (name == "") || !strings.Contains(state.Message, name) || status.RejectedTotal != 1 {
			t.Errorf("%v: %+v, %+v", err, state, status.Rejected)
		}
		l.err = nil
		if looks := w.look(t); looks != 1 {
			t.Errorf("%v: %d looks after it", err, looks)
		}
		if state, _ := w.observe(t); !state.Met {
			t.Errorf("%v: at the end %+v", err, state)
		}
	}
}
