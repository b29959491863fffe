// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/text"
)

const (
	// mostProblems bounds the list of namespaces whose apps are not scraped.
	mostProblems = 20
	// nearly is the share of a limit, in percent, at which it is said that it comes near.
	nearly = 80
	// longestMessage is how many bytes of an answer of the API server, which may quote what others wrote, are reported.
	longestMessage = 900
)

// ofNamespace returns the reason of a failure that the users of one namespace can cause: a foreign monitor of the name, another
// writer of ours, a quota, a policy. It is empty for what fails everywhere alike.
func ofNamespace(err error) string {
	var (
		taken     *apply.NameTakenError
		contested *apply.ContestedError
		limit     *limitError
	)
	switch {
	case errors.As(err, &limit):
		return v1alpha1.ReasonConfigurationLimit
	case errors.As(err, &taken):
		return v1alpha1.ReasonNameTaken
	case errors.As(err, &contested):
		return v1alpha1.ReasonContested
	case apierrors.IsForbidden(err) && !lacksPermission(err), apierrors.IsRequestEntityTooLargeError(err), exceedsStorage(err),
		invalidMetadata(err),
		apply.IsRefused(err) && strings.Contains(err.Error(), "denied"): // By an admission webhook or policy.
		return v1alpha1.ReasonRefused
	}
	return ""
}

// lacksPermission is true for the answer of the API server's authorizer, which names the user and the verb.
func lacksPermission(err error) bool {
	return strings.Contains(err.Error(), `User "`) && strings.Contains(err.Error(), " cannot ")
}

// invalidMetadata is true for an object whose owners, labels or the like the API server finds invalid. Ours are valid, so it is what
// another writer of the monitor has added to them, such as another controller.
func invalidMetadata(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsInvalid(err) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool {
		return strings.HasPrefix(cause.Field, "metadata.")
	})
}

// exceedsStorage is true for the answer of the API server where etcd refuses the size of an object. Our monitor is small, so it is
// what another writer of it has added.
func exceedsStorage(err error) bool {
	return strings.Contains(err.Error(), "etcdserver: request is too large")
}

// ofNamespace is the function of this name, which also knows that the monitors of other namespaces, which are alike, are accepted:
// what the API server then finds invalid is what the users of this namespace have added to its monitor, such as another controller.
func (r *Reconciler) ofNamespace(err error) string {
	var shared *sharedError
	if errors.As(err, &shared) {
		return ""
	}
	if reason := ofNamespace(err); reason != "" {
		return reason
	}
	if len(r.accepted) > 0 && apply.IsRefused(err) && !apierrors.IsForbidden(err) {
		return v1alpha1.ReasonRefused
	}
	return ""
}

// listProblems enters the namespaces whose annotated apps are not scraped for a reason of their own. While monitors are left as they
// are, it is not known, and the last list stays.
func (r *Reconciler) listProblems(ctx context.Context, s *settings, known map[string]look, now *Snapshot) error {
	if s.retain {
		last := s.pipeline.Status.Scrape
		if before := r.snapshot.Load(); before != nil {
			last = &before.Status
		}
		if last != nil {
			now.Status.NotScraped, now.Status.NotScrapedTotal = last.NotScraped, last.NotScrapedTotal
		}
		return nil
	}
	problems, err := r.problems(ctx, s, known)
	now.Status.NotScraped, now.Status.NotScrapedTotal = problems[:min(len(problems), mostProblems)], int32(len(problems))
	r.report(s, problems)
	return err
}

// problems returns the namespaces whose annotated apps are not scraped for a reason of their own, sorted.
func (r *Reconciler) problems(ctx context.Context, s *settings, known map[string]look) ([]v1alpha1.NotScrapedNamespace, error) {
	if s.off {
		return nil, nil
	}
	var all []v1alpha1.NotScrapedNamespace
	for _, name := range sets.List(r.concerned()) {
		ns, err := r.namespaceOf(ctx, name)
		switch {
		case client.IgnoreNotFound(err) != nil:
			return all, err
		case err != nil || !s.scrapes(ns.Labels):
			continue
		}
		if reason, message := r.problem(s, ns, known[name]); reason != "" {
			all = append(all, v1alpha1.NotScrapedNamespace{Namespace: name, Reason: reason, Message: message})
		}
	}
	return all, nil
}

// concerned are the namespaces with accepted apps, and those where monitors failed: what failed may be gone.
func (r *Reconciler) concerned() sets.Set[string] {
	return sets.New(r.index.Namespaces()...).Union(sets.KeySet(r.failures))
}

// problem returns why the apps of a namespace are not scraped; empty where they are.
func (r *Reconciler) problem(s *settings, ns *metav1.PartialObjectMetadata, known look) (reason, message string) {
	if err := r.failures[ns.Name]; err != nil {
		if reason := r.ofNamespace(err); reason != "" {
			return reason, text.Shorten(err.Error(), longestMessage) + "."
		}
	}
	if last := r.before(s, ns.Name); last != nil {
		return last.Reason, last.Message
	}
	if excluded := r.excludes(s, ns); excluded != "" {
		return v1alpha1.ReasonNotSelected, excluded
	}
	if none := r.withoutTargets(s, ns.Name); none != "" {
		return v1alpha1.ReasonNoTargets, none
	}
	return r.nearLimit(s, ns, known)
}

// before returns the failure that the status lists from before a start, until the namespace has been reconciled: it must not go and
// come again.
func (r *Reconciler) before(s *settings, namespace string) *v1alpha1.NotScrapedNamespace {
	if _, reconciled := r.seen[namespace]; reconciled || s.pipeline.Status.Scrape == nil {
		return nil
	}
	for _, listed := range s.pipeline.Status.Scrape.NotScraped {
		if listed.Namespace == namespace && slices.Contains(failures, listed.Reason) {
			return &listed
		}
	}
	return nil
}

// failures are the reasons of ofNamespace.
var failures = []string{v1alpha1.ReasonNameTaken, v1alpha1.ReasonContested, v1alpha1.ReasonRefused, v1alpha1.ReasonConfigurationLimit}

// nearLimit says when a namespace comes near the limit of targets of a monitor: by what its Services are known to select, or by its
// annotated apps, each of which is one target at least.
func (r *Reconciler) nearLimit(s *settings, ns *metav1.PartialObjectMetadata, known look) (reason, message string) {
	services, pods := r.index.Count(ns.Name, s.scrapesHosts(ns.Labels))
	if s.near() == 0 {
		return "", ""
	}
	if targets := max(services, known.targets); max(targets, pods) >= s.near() {
		atLeast := ""
		if known.partly || targets > known.targets {
			atLeast = "at least "
		}
		return v1alpha1.ReasonTargetLimit, fmt.Sprintf("The %d annotated Services of the namespace have %s%d targets, and its %d "+
			"annotated Pods at least one each; beyond %d targets of Services, or of Pods, Prometheus scrapes none of them. Annotate "+
			"fewer, name the port in the annotation of those with several, spread them over namespaces, or have an administrator raise "+
			"spec.scrape.limits.targets.", services, atLeast, targets, pods, s.config.TargetLimit)
	}
	if known.near != "" {
		return v1alpha1.ReasonTargetLimit, known.near
	}
	return "", ""
}

// excludes names the selector by which the Prometheus does not look into a namespace for the kinds of monitors that it has;
// empty where it does.
func (r *Reconciler) excludes(s *settings, ns *metav1.PartialObjectMetadata) string {
	if s.target.ServiceMonitors == nil {
		return "" // No object says what the Prometheus selects.
	}
	var selections []*prometheus.Selection
	services, pods := r.index.Count(ns.Name, s.scrapesHosts(ns.Labels))
	if services > 0 {
		selections = append(selections, s.target.ServiceMonitors)
	}
	if pods > 0 {
		selections = append(selections, s.target.PodMonitors)
	}
	for _, selection := range selections {
		selected, err := selection.SelectsNamespace(ns.Name, ns.Labels)
		if err != nil {
			return fmt.Sprintf("%s: %v.", s.target.Object, err)
		}
		if !selected {
			return fmt.Sprintf("%s does not look for monitors in namespace %s: its %s is %s; change the selector, or leave the "+
				"namespace out by spec.scrape.namespaceSelector.", s.target.Object, ns.Name, selection.NamespaceField, selection.Where())
		}
	}
	return ""
}

// report sends an Event to each namespace that has a new problem. Nothing is repeated that the status of before a start lists, or
// may have had no place for.
func (r *Reconciler) report(s *settings, problems []v1alpha1.NotScrapedNamespace) {
	if r.reasons == nil {
		r.reasons = map[string]string{}
		if before := s.pipeline.Status.Scrape; before != nil {
			listed := before.NotScraped
			if int(before.NotScrapedTotal) > len(listed) {
				listed = problems
			}
			for _, problem := range listed {
				r.reasons[problem.Namespace] = problem.Reason
			}
		}
	}
	now := map[string]string{}
	for _, problem := range problems {
		now[problem.Namespace] = problem.Reason
		if r.reasons[problem.Namespace] != problem.Reason {
			r.send(&corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Namespace: problem.Namespace, Name: problem.Namespace},
				"NotScraped", problem.Message)
		}
	}
	r.reasons = now
}
