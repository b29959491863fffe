// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/prometheus"
)

const (
	// mostExamined is of how many namespaces without a target the Pods are listed after one survey.
	mostExamined = 5
	// mostLists is how often that is while nothing changes in a namespace: its Pods may yet start. At rest nothing is sent.
	mostLists = 3
)

// examination is whether annotated apps of a namespace have running Pods, by the version of what the index knows of it.
type examination struct {
	version uint64
	at      time.Time
	running bool
	// portless is why none of the Pods that run can be scraped, whatever Prometheus may do; empty where one can.
	portless string
	lists    int
}

// due is true where another look may find something else.
func (e examination) due(version uint64) bool {
	return e.version != version || !e.running && e.lists < mostLists
}

func (e examination) next(version uint64, now time.Time, running bool, portless string) examination {
	lists := 1
	if e.version == version {
		lists += e.lists
	}
	return examination{version: version, at: now, running: running, portless: portless, lists: lists}
}

// findMissing finds the namespaces of which there should be targets and is none, and returns how many may be such.
func (r *Reconciler) findMissing(ctx context.Context, s *settings) (suspects int) {
	a := &r.asked
	missing, examined, idle, lists := map[string]string{}, map[string]examination{}, map[string]bool{}, 0
	for _, name := range r.index.Namespaces() {
		ns := r.suspect(ctx, s, name)
		if ns == nil {
			continue
		}
		suspects++
		idle[name] = a.last.Loaded[name]
		listed := r.listedMissing(s, name) != ""
		if !listed && (!idle[name] || !a.idle[name]) && r.clock.Since(r.settledSince(name)) < atRest*r.surveyEvery {
			continue // Its monitors may not have been loaded yet, or only just.
		}
		known, looked := a.examined[name]
		if version := r.index.Bound(name).Version; !looked || r.clock.Since(known.at) >= r.lookEvery && known.due(version) {
			if lists++; lists > mostExamined && !listed {
				continue // After the next survey.
			}
			running, portless, err := r.running(ctx, s, ns)
			if err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "It is not known whether annotated apps have running Pods", "namespace", name)
				continue
			}
			known = known.next(version, r.clock.Now(), running, portless)
		}
		examined[name] = known
		if known.running {
			missing[name] = r.missingMessage(name, known.portless)
			continue
		}
		suspects--
	}
	a.missing, a.examined, a.idle = missing, examined, idle
	return suspects
}

// suspect returns a namespace without a target in which nothing else is known to be wrong; nil for any other.
func (r *Reconciler) suspect(ctx context.Context, s *settings, name string) *metav1.PartialObjectMetadata {
	if r.asked.hasTargets(name) || r.asked.last.Roughly && len(r.asked.last.Namespaces) == 0 {
		return nil // A store without any series of ours may have them under other labels.
	}
	ns, err := r.namespaceOf(ctx, name)
	if err != nil || !s.scrapes(ns.Labels) || r.failures[name] != nil || r.excludes(s, ns) != "" {
		return nil // One that cannot be read is about to go.
	}
	return ns
}

// settledSince is since when the monitors of a namespace have been as they are, as far as that is known.
func (r *Reconciler) settledSince(namespace string) time.Time {
	if wrote := r.wrote[namespace]; wrote.After(r.asked.since) {
		return wrote
	}
	return r.asked.since
}

// listedMissing is what the status says of a namespace without a target; empty where it says nothing.
func (r *Reconciler) listedMissing(s *settings, namespace string) string {
	if last := r.lastStatus(s); last != nil {
		for _, listed := range last.NotScraped {
			if listed.Namespace == namespace && listed.Reason == v1alpha1.ReasonNoTargets {
				return listed.Message
			}
		}
	}
	return ""
}

// withoutTargets is why a namespace has no target; empty where it has some. Until there is an answer it is what the status said.
func (r *Reconciler) withoutTargets(s *settings, namespace string) string {
	if from := r.heard.Load(); !r.asked.known && (from == nil || from.source != nil) {
		return r.listedMissing(s, namespace)
	}
	return r.asked.missing[namespace]
}

func (r *Reconciler) missingMessage(namespace, portless string) string {
	last := r.asked.last
	const running = "where annotated apps have running Pods"
	s := r.common.Load()
	switch {
	case portless != "" && (last.Loaded == nil || last.Loaded[namespace]):
		return fmt.Sprintf("%s has no target in namespace %s: %s.", last.Source, namespace, portless)
	case last.Loaded != nil && !last.Loaded[namespace] && s != nil && s.plain:
		return fmt.Sprintf("%s has not loaded the scrape configuration of namespace %s, %s: it reads ConfigMap %s a minute or two after a "+
			"change, and refuses a configuration with a reason in its log.", last.Source, namespace, running,
			prometheus.ShardName(prometheus.ShardOf(namespace)))
	case last.Roughly:
		return fmt.Sprintf("%s has no series up of namespace %s, %s: what scrapes for it does not scrape them, or leaves out the labels "+
			"namespace, job and endpoint; look at its targets.", last.Source, namespace, running)
	case last.Loaded != nil && !last.Loaded[namespace]:
		return fmt.Sprintf("%s has not loaded the monitors of namespace %s, %s: prometheus-operator has rejected them, or could not write "+
			"the configuration; see its log, and the Events of the monitors %s there.", last.Source, namespace, running, monitorName)
	default:
		return fmt.Sprintf("%s has no target in namespace %s, %s: it may not list what is there, which its log says as \"forbidden\"; "+
			"allow its ServiceAccount to get, list and watch services, endpoints, endpointslices.discovery.k8s.io and pods, by a Role and "+
			"a RoleBinding in namespace %s, or by a ClusterRole.", last.Source, namespace, running, namespace)
	}
}

// running is true where an annotated app of a namespace has a Pod that runs. Where none of these has the port that its app names, it says
// so: then nothing else need be wrong.
func (r *Reconciler) running(ctx context.Context, s *settings, ns *metav1.PartialObjectMetadata) (running bool, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, longestLook)
	defer cancel()
	hosts := s.scrapesHosts(ns.Labels)
	c := newSelected(s, hosts)
	c.portsBy = s.config.Prefix
	if err := r.selectServices(ctx, c, ns.Name); err != nil {
		return false, "", err
	}
	var ports portless
	for resume, first := "", true; first || resume != ""; first = false {
		list, err := r.pieces.RunningPods(ctx, ns.Name, hosts, resume)
		if err != nil {
			return false, "", fmt.Errorf("list Pods of namespace %s: %w", ns.Name, err)
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if found, err := ports.look(ctx, r.pieces, ns.Name, pod, c.wantedOf(pod)); found || err != nil {
				return found, "", err
			}
		}
		resume = list.Continue
	}
	return ports.message != "", ports.message, nil
}
