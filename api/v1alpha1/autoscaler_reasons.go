// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Reasons why a HorizontalPodAutoscaler (HPA) has no number, or cannot act on the one that it has: those of status.autoscalers, of the
// Events on HPAs and of `kubectl metricspipeline why`. They stand in the order of the chain, from the HPA to the app that gives
// the number. docs/autoscalers.md leads to a section for each.

// Reasons of the HPA itself, and of what else moves its target.
const (
	// AutoscalerTargetShared surfaces when several HPAs have the same scaleTargetRef: the HPA controller then serves none of them.
	AutoscalerTargetShared = "TargetShared"
	// AutoscalerScaledObjectPaused surfaces when the ScaledObject that made the HPA is paused.
	AutoscalerScaledObjectPaused = "ScaledObjectPaused"
	// AutoscalerScaledObjectNotReady surfaces when the ScaledObject that made the HPA is not Ready.
	AutoscalerScaledObjectNotReady = "ScaledObjectNotReady"
	// AutoscalerScaledObjectFallback surfaces when KEDA gives the HPA the replicas of spec.fallback in place of a number.
	AutoscalerScaledObjectFallback = "ScaledObjectFallback"
	// AutoscalerScaledObjectWithoutHPA surfaces when KEDA has made no HPA of a ScaledObject that is neither paused nor known to be faulty.
	AutoscalerScaledObjectWithoutHPA = "ScaledObjectWithoutHPA"
	// AutoscalerObjectKindNotServed surfaces when the API server does not serve the kind of describedObject.
	AutoscalerObjectKindNotServed = "ObjectKindNotServed"
	// AutoscalerResourceNotMeasured surfaces when the HPA names a resource other than cpu and memory, which metrics.k8s.io has not.
	AutoscalerResourceNotMeasured = "ResourceNotMeasured"
	// AutoscalerTargetTypeMismatch surfaces when target.type names another field than the one that is set.
	AutoscalerTargetTypeMismatch = "TargetTypeMismatch"
	// AutoscalerTargetQuantity surfaces when the target is a quantity that no pod has, such as a memory of 500m, half a byte.
	AutoscalerTargetQuantity = "TargetQuantity"
	// AutoscalerAtMaximum surfaces when the HPA demands more replicas than maxReplicas.
	AutoscalerAtMaximum = "AtMaximum"
	// AutoscalerBoundsEqual surfaces when minReplicas and maxReplicas are the same number.
	AutoscalerBoundsEqual = "BoundsEqual"
	// AutoscalerScalingForbidden surfaces when selectPolicy Disabled in spec.behavior forbids a direction.
	AutoscalerScalingForbidden = "ScalingForbidden"
	// AutoscalerVPAConflict surfaces when a VerticalPodAutoscaler changes the requests by which the HPA measures the same resource.
	AutoscalerVPAConflict = "VPAConflict"
	// AutoscalerNotObserved surfaces when the HPA controller has not looked at an HPA minutes after it was made.
	AutoscalerNotObserved = "NotObserved"
)

// Reasons of the scale target.
const (
	// AutoscalerTargetKindNotServed surfaces when the API server does not serve the kind of scaleTargetRef.
	AutoscalerTargetKindNotServed = "TargetKindNotServed"
	// AutoscalerTargetMissing surfaces when the object of scaleTargetRef does not exist.
	AutoscalerTargetMissing = "TargetMissing"
	// AutoscalerTargetNotScalable surfaces when the kind of scaleTargetRef has no subresource scale, as a DaemonSet.
	AutoscalerTargetNotScalable = "TargetNotScalable"
	// AutoscalerTargetWithoutSelector surfaces when the scale of the target has no selector, so that its pods are not known.
	AutoscalerTargetWithoutSelector = "TargetWithoutSelector"
	// AutoscalerScaleRefused surfaces when the API server refuses the number of replicas that the HPA controller writes.
	AutoscalerScaleRefused = "ScaleRefused"
)

// Reasons of the pods of the target.
const (
	// AutoscalerZeroReplicas surfaces when the target has 0 replicas, which disables an HPA.
	AutoscalerZeroReplicas = "ZeroReplicas"
	// AutoscalerPodsMissing surfaces when the target has replicas and no pod has the labels of its selector.
	AutoscalerPodsMissing = "PodsMissing"
	// AutoscalerSelectorAmbiguous surfaces when several HPAs with different targets select the same pods: the HPA controller then serves
	// none of them.
	AutoscalerSelectorAmbiguous = "SelectorAmbiguous"
	// AutoscalerSelectorTooWide surfaces when the selector of the target selects pods of other workloads.
	AutoscalerSelectorTooWide = "SelectorTooWide"
	// AutoscalerContainerMissing surfaces when a pod has no container of the name that a ContainerResource metric has.
	AutoscalerContainerMissing = "ContainerMissing"
	// AutoscalerContainerRequestMissing surfaces when the container of a ContainerResource metric has no request for the resource.
	AutoscalerContainerRequestMissing = "ContainerRequestMissing"
	// AutoscalerRequestsMissing surfaces when a container of a pod, sidecars included, has no request for the resource of which the HPA
	// measures the utilization.
	AutoscalerRequestsMissing = "RequestsMissing"
	// AutoscalerPodsStarting surfaces when the pods are so young that there cannot be a number of them yet.
	AutoscalerPodsStarting = "PodsStarting"
	// AutoscalerPodsNotReady surfaces when no pod of the target is Ready.
	AutoscalerPodsNotReady = "PodsNotReady"
)

// Reasons of the metrics API that the metric is read from.
const (
	// AutoscalerPipelineMissing surfaces when nothing registers the metrics API and the cluster has no MetricsPipeline.
	AutoscalerPipelineMissing = "PipelineMissing"
	// AutoscalerAPIDisabled surfaces when nothing registers the metrics API and its policy is Disabled.
	AutoscalerAPIDisabled = "APIDisabled"
	// AutoscalerAPIObserved surfaces when nothing registers the metrics API and its policy is Observe.
	AutoscalerAPIObserved = "APIObserved"
	// AutoscalerAPINotRegistered surfaces when the metrics API is not registered yet; the message has the reason of status.apiServices.
	AutoscalerAPINotRegistered = "APINotRegistered"
	// AutoscalerAPIUnavailable surfaces when the metrics API is registered and not available; the message has kube-aggregator's reason.
	AutoscalerAPIUnavailable = "APIUnavailable"
	// AutoscalerAPIForeign surfaces when the metrics API belongs to another owner, whose metrics the pipeline does not make.
	AutoscalerAPIForeign = "APIForeign"
	// AutoscalerAPITaken surfaces when KEDA made the HPA, and the metrics API belongs to the pipeline instead of KEDA.
	AutoscalerAPITaken = "APITaken"
)

// Reasons of the rule that makes the metric.
const (
	// AutoscalerRuleRejected surfaces when the rule that makes the metric is rejected and serves nothing.
	AutoscalerRuleRejected = "RuleRejected"
	// AutoscalerRuleOfOthers surfaces when the rule of that name makes the metric of other objects than those that the HPA asks for.
	AutoscalerRuleOfOthers = "RuleOfOthers"
	// AutoscalerRuleLastGood surfaces when the rule that makes the metric is rejected, and serves in its last good form.
	AutoscalerRuleLastGood = "RuleLastGood"
	// AutoscalerRuleWarned surfaces when the rule that makes the metric cannot work as it is written.
	AutoscalerRuleWarned = "RuleWarned"
	// AutoscalerRuleCollision surfaces when several rules make a metric of this name, and the one that serves has no series for the HPA.
	AutoscalerRuleCollision = "RuleCollision"
	// AutoscalerRuleMissing surfaces when no rule makes the metric, and Prometheus has no series from which one could be derived.
	AutoscalerRuleMissing = "RuleMissing"
	// AutoscalerRuleDeriving surfaces while the backend does not serve a rule yet that is being derived.
	AutoscalerRuleDeriving = "RuleDeriving"
	// AutoscalerDeriveDisabled surfaces when no rule makes the metric and the spec disables derived rules.
	AutoscalerDeriveDisabled = "DeriveDisabled"
	// AutoscalerDeriveAmbiguous surfaces when rules for the metric could be derived from several series.
	AutoscalerDeriveAmbiguous = "DeriveAmbiguous"
	// AutoscalerDeriveCounter surfaces when the metric is a counter by its own name, whose value only grows.
	AutoscalerDeriveCounter = "DeriveCounter"
	// AutoscalerDeriveJob surfaces when the HPA takes the label job, the scrape job, for a Job of batch.
	AutoscalerDeriveJob = "DeriveJob"
	// AutoscalerDeriveQuantile surfaces when the metric is a quantile, which no naming convention gives.
	AutoscalerDeriveQuantile = "DeriveQuantile"
	// AutoscalerDeriveRatio surfaces when the metric is a ratio of two series, which no naming convention gives.
	AutoscalerDeriveRatio = "DeriveRatio"
	// AutoscalerDeriveLimit surfaces when the namespace, or the cluster, has as many derived rules as it may have.
	AutoscalerDeriveLimit = "DeriveLimit"
	// AutoscalerDeriveRefused surfaces when a rule for the metric is not derived for another reason, which the message has.
	AutoscalerDeriveRefused = "DeriveRefused"
)

// Reasons of the series in Prometheus that the metric is made of.
const (
	// AutoscalerPrometheusUnreachable surfaces when Prometheus gives no answer.
	AutoscalerPrometheusUnreachable = "PrometheusUnreachable"
	// AutoscalerSeriesMissing surfaces when Prometheus has none of the series of the rule.
	AutoscalerSeriesMissing = "SeriesMissing"
	// AutoscalerSeriesStale surfaces when the series of the rule have ended.
	AutoscalerSeriesStale = "SeriesStale"
	// AutoscalerSeriesNamespaceLabel surfaces when the series name the namespace in another label than the rule, such as
	// exported_namespace.
	AutoscalerSeriesNamespaceLabel = "SeriesNamespaceLabel"
	// AutoscalerSeriesNotInNamespace surfaces when no series of the rule is of the HPA's own namespace.
	AutoscalerSeriesNotInNamespace = "SeriesNotInNamespace"
	// AutoscalerSeriesWithoutObject surfaces when the series of the namespace do not have the label that names pods or objects.
	AutoscalerSeriesWithoutObject = "SeriesWithoutObject"
	// AutoscalerSeriesObjectLabel surfaces when the series name the pods or the object in another label than the rule, such as
	// exported_pod.
	AutoscalerSeriesObjectLabel = "SeriesObjectLabel"
	// AutoscalerSeriesOfOthers surfaces when the series of the namespace are of other pods or objects than the HPA's.
	AutoscalerSeriesOfOthers = "SeriesOfOthers"
)

// Reasons of what Prometheus scrapes: the target, the monitor that makes it, and the app.
const (
	// AutoscalerScrapeDown surfaces when Prometheus cannot scrape the pods; the message has its error.
	AutoscalerScrapeDown = "ScrapeDown"
	// AutoscalerSamplesDropped surfaces when Prometheus drops what it scrapes of the pods, as by a limit.
	AutoscalerSamplesDropped = "SamplesDropped"
	// AutoscalerNotScraped surfaces when a selected monitor matches the pods and Prometheus has no target of them, or when the Service that
	// the metric describes selects no pod that runs.
	AutoscalerNotScraped = "NotScraped"
	// AutoscalerMonitorNotSelected surfaces when Prometheus does not select the monitor of the pods; the message has the selector.
	AutoscalerMonitorNotSelected = "MonitorNotSelected"
	// AutoscalerNamespaceNotScraped surfaces when no app of the namespace is scraped; the message has the reason.
	AutoscalerNamespaceNotScraped = "NamespaceNotScraped"
	// AutoscalerAppRejected surfaces when the annotated app is not scraped because of its annotations.
	AutoscalerAppRejected = "AppRejected"
	// AutoscalerAppNotAnnotated surfaces when no monitor matches the pods, and neither they nor a Service of them are annotated.
	AutoscalerAppNotAnnotated = "AppNotAnnotated"
)

// Reasons of the value itself.
const (
	// AutoscalerUsageMissing surfaces when metrics.k8s.io is available and has no usage of any pod of the target.
	AutoscalerUsageMissing = "UsageMissing"
	// AutoscalerContainerUsageMissing surfaces when metrics.k8s.io has usage of the pods and none of the container.
	AutoscalerContainerUsageMissing = "ContainerUsageMissing"
	// AutoscalerMetricSelectorMatchesNone surfaces when the selector of the HPA's metric matches none of the series.
	AutoscalerMetricSelectorMatchesNone = "MetricSelectorMatchesNone"
	// AutoscalerQueryFailed surfaces when Prometheus refuses the query of the rule; the message has its error.
	AutoscalerQueryFailed = "QueryFailed"
	// AutoscalerValueMissing surfaces when there are series, and the query of the rule makes no value of them.
	AutoscalerValueMissing = "ValueMissing"
	// AutoscalerValueNaN surfaces when the value is not a number, as by a division by zero.
	AutoscalerValueNaN = "ValueNaN"
	// AutoscalerValueNotPerPod surfaces when the rule makes one number of all pods where the HPA reads one for each.
	AutoscalerValueNotPerPod = "ValueNotPerPod"
	// AutoscalerUnexplained surfaces when no link that could be seen is broken; the message has what the HPA controller says.
	AutoscalerUnexplained = "Unexplained"
)
