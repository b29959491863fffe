// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
)

// State says how a part of the chain stands.
type State int

// The states of a part.
const (
	Absent  State = iota // It is not there, and what comes before it is not ready either.
	Waiting              // It is on its way.
	Works                // It works.
	Broken               // It does not, and will not by itself.
)

func (s State) String() string { return [...]string{"absent", "waiting", "ok", "BROKEN"}[s] }

// Part is one of the five steps, or a link between two of them.
type Part struct {
	Name  string
	Link  bool
	State State
	// Text is what is seen, for people. Key is Text without what changes all the time, such as a rate; empty where nothing does.
	Text, Key string
}

// Operator is the part that makes the others.
func Operator(now *Seen) Part {
	part := Part{Name: "operator", State: Waiting, Text: "waiting for its Deployment"}
	if now.Operator != nil {
		part.State, part.Text = deploymentText(now.Operator)
	}
	return part
}

// Chain is how the five steps and the links between them stand.
func Chain(now *Seen) []Part {
	return []Part{
		application(now),
		scraped(now),
		source(now),
		rule(now),
		workload(now, "adapter", adapter, "deployed as soon as a rule needs it"),
		backend(now),
		apiService(now),
		number(now),
		scaler(now),
	}
}

// FirstUnready names the first part that does not work, for the message of a failure.
func FirstUnready(now *Seen) string {
	parts := append([]Part{Operator(now)}, Chain(now)...)
	for _, part := range parts {
		if part.State != Works {
			return fmt.Sprintf("%s is %s: %s", part.Name, part.State, part.Text)
		}
	}
	return ""
}

func application(now *Seen) Part {
	part := Part{Name: "app", Text: "no Deployment yet"}
	if now.App != nil {
		part.State, part.Text = deploymentText(now.App)
	}
	return part
}

// scraped is the way from the application to Prometheus. How many targets are up the operator asks once a minute only.
func scraped(now *Seen) Part {
	part := Part{Name: "app -> Prometheus", Link: true, Text: "no scrape yet"}
	if now.Pipeline == nil || now.Pipeline.Status.Scrape == nil || now.App == nil {
		return part
	}
	scrape := now.Pipeline.Status.Scrape
	for _, app := range scrape.Down {
		if app.Namespace == now.App.Namespace && app.Name == now.App.Name {
			part.State, part.Text = Broken, "the scrape fails: "+app.Error
			return part
		}
	}
	switch counted := scrape.Targets; {
	case derived(now) != nil || counted != nil && counted.Up > 0:
		part.State, part.Text = Works, "scraped: its Service has the two annotations"
	case scrape.Services > 0:
		part.State, part.Text = Waiting, "its Service is annotated; waiting for the first scrapes"
	}
	return part
}

func source(now *Seen) Part {
	part := workload(now, "Prometheus", prometheus, "not deployed yet")
	if now.Pipeline == nil {
		return part
	}
	ready := apimeta.FindStatusCondition(now.Pipeline.Status.Conditions, v1alpha1.ConditionPrometheusReady)
	if now.component(prometheus) == nil && now.Pipeline.Status.Prometheus != nil && ready != nil {
		// prometheus-operator runs it: the pipeline counts none of its pods.
		part.State, part.Text = Waiting, "a Prometheus object: "+ready.Message
		if ready.Status == metav1.ConditionTrue {
			part.State, part.Text = Works, "a Prometheus object, which prometheus-operator runs"
		}
	}
	return part
}

// derived is the rule that the operator has derived for the metric that the HPA reads, or nil. It is derived from series that are there.
func derived(now *Seen) *v1alpha1.RuleStatus {
	metric, _ := now.Metric()
	for i := range now.Pipeline.Status.Rules {
		rule := &now.Pipeline.Status.Rules[i]
		if rule.Origin == v1alpha1.RuleDerived && strings.HasPrefix(rule.ID, "derived/"+metric+"/") {
			return rule
		}
	}
	return nil
}

// templates are what a query of a rule has in places that the adapter fills, and what people read there.
var templates = strings.NewReplacer("<<.LabelMatchers>>", "...", "<<.GroupBy>>", "pod")

// rule is what the adapter asks Prometheus, for the metric that the HPA reads.
func rule(now *Seen) Part {
	part := Part{Name: "Prometheus -> adapter", Link: true, Text: "no rule yet"}
	metric, _ := now.Metric()
	if metric == "" || now.Pipeline == nil {
		return part
	}
	if found := derived(now); found != nil {
		part.State, part.Text = Works, "rule "+templates.Replace(found.Query)+", derived from the HPA"
		return part
	}
	part.State, part.Text = Waiting, "the rule for "+metric+" is derived when its series are there"
	if failure := now.Failure(); failure != nil && failure.Reason == v1alpha1.AutoscalerRuleMissing {
		part.State, part.Text = Broken, "no rule for "+metric
	}
	return part
}

// workload is a component, and missing what is said before it is deployed.
func workload(now *Seen, name, component, missing string) Part {
	part := Part{Name: name, Text: missing}
	found := now.component(component)
	if found == nil {
		return part
	}
	part.State, part.Text = Works, fmt.Sprintf("Deployment %s: %d of %s ready", component, found.Ready, pods(found.Desired))
	if found.Ready < found.Desired || found.Desired == 0 {
		part.State = Waiting
		if found.Message != "" {
			part.Text = fmt.Sprintf("Deployment %s: %s", component, found.Message)
		}
	}
	return part
}

// backend is whether the API server reaches the adapter through the APIService.
func backend(now *Seen) Part {
	part := Part{Name: "adapter -> APIService", Link: true, Text: "not connected yet"}
	api := now.api()
	switch {
	case api == nil || api.Owner == "":
	case api.Available == metav1.ConditionTrue:
		part.State, part.Text = Works, "the API server reaches the adapter, its certificate verified"
	default:
		part.State, part.Text = Waiting, api.Reason+": "+api.Message
	}
	return part
}

func apiService(now *Seen) Part {
	part := Part{Name: "APIService", Text: "not registered yet"}
	switch api := now.api(); {
	case api == nil:
	case api.Owner == "":
		part.Text += ": " + api.Reason
	case api.Available == metav1.ConditionTrue:
		part.State, part.Text = Works, api.Name+": Available"
	default:
		part.State, part.Text = Waiting, api.Name+": registered"
	}
	return part
}

// number is what the HPA reads.
func number(now *Seen) Part {
	part := Part{Name: "APIService -> HPA", Link: true, Text: "no number yet"}
	metric, _ := now.Metric()
	if metric == "" {
		return part
	}
	part.State, part.Text = Waiting, metric+" is <unknown>"
	if rate, known := now.Rate(); known {
		part.State, part.Key = Works, metric+" has a number"
		part.Text = fmt.Sprintf("%s is %s per pod", metric, decimal(rate))
	} else if now.Failure() != nil {
		part.State = Broken
	}
	return part
}

func scaler(now *Seen) Part {
	part := Part{Name: "HPA", Text: "no HorizontalPodAutoscaler yet"}
	if now.Scaler == nil {
		return part
	}
	_, target := now.Metric()
	part.State, part.Text = Waiting, fmt.Sprintf("%s waits for the number; its target is %s per pod", now.Scaler.Name, decimal(target))
	_, known := now.Rate()
	switch failure := now.Failure(); {
	case known:
		part.State = Works
		wanted := pods(now.Scaler.Status.DesiredReplicas)
		part.Text = fmt.Sprintf("%s wants %s; its target is %s per pod", now.Scaler.Name, wanted, decimal(target))
	case failure != nil:
		part.State, part.Text = Broken, fmt.Sprintf("%s fails. %s: %s", now.Scaler.Name, failure.Reason, failure.Message)
	}
	return part
}

// decimal is a number as people write it: with one digit after the point where that says something.
func decimal(value float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0")
}
