// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ConditionReady is the conjunction of every condition below it but MonitoringReady and AutoscalersServed: True when the whole spec
// works, Unknown only until the operator has looked at a new pipeline.
const (
	ConditionReady = "Ready"

	// ReasonPending surfaces until the operator has looked at a new pipeline. It is the default that the API server writes, so that
	// kstatus does not take a pipeline without a status for one that works.
	ReasonPending = "Pending"

	// ReasonReady surfaces when every other condition is met.
	ReasonReady = "Ready"
	// ReasonTerminating surfaces when the operator's namespace is being deleted: it has removed its APIServices, which
	// would block that.
	ReasonTerminating = "Terminating"
)

// ConditionReconciling follows kstatus: True while the operator works towards the spec and expects to get there.
const (
	ConditionReconciling = "Reconciling"

	// ReasonProgressing surfaces while something has still to start, be issued or become available.
	ReasonProgressing = "Progressing"
	// ReasonSettled surfaces when there is nothing left to do.
	ReasonSettled = "Settled"
)

// ConditionStalled follows kstatus: True when only a person can correct what is wrong.
const (
	ConditionStalled = "Stalled"

	// ReasonNotStalled surfaces when nothing waits for a person.
	ReasonNotStalled = "NotStalled"
)

// ConditionAggregationLayerReady says whether the API server can be extended by metrics APIs at all.
const (
	ConditionAggregationLayerReady = "AggregationLayerReady"

	// ReasonRequestHeaderCAFound surfaces when the API server publishes its request header CA.
	ReasonRequestHeaderCAFound = "RequestHeaderCAFound"
	// ReasonRequestHeaderCAMissing surfaces when kube-system/extension-apiserver-authentication has no
	// requestheader-client-ca-file: backends could not trust any request of the API server.
	ReasonRequestHeaderCAMissing = "RequestHeaderCAMissing"
)

// ConditionCertificatesReady says whether every component has a serving certificate.
const (
	ConditionCertificatesReady = "CertificatesReady"

	// ReasonIssued surfaces when every serving certificate is issued and current.
	ReasonIssued = "Issued"
	// ReasonRotating surfaces while clients trust an earlier authority as well, because an endpoint may still present a
	// certificate that it signed.
	ReasonRotating = "Rotating"
	// ReasonIssuing surfaces while cert-manager has not issued a certificate that is needed; the message has what it says.
	ReasonIssuing = "Issuing"
	// ReasonIssueFailed surfaces when a certificate could not be issued or stored.
	ReasonIssueFailed = "IssueFailed"
	// ReasonCertManagerMissing surfaces when the spec demands cert-manager and its CRDs are not served.
	ReasonCertManagerMissing = "CertManagerMissing"
	// ReasonIssuerWithoutCA surfaces when the issuer of spec.certificates.issuerRef issues certificates without the
	// authority that signed them, so that the API server could not verify them.
	ReasonIssuerWithoutCA = "IssuerWithoutCA"
	// ReasonRenewalOverdue surfaces when a certificate should have been renewed and was not.
	ReasonRenewalOverdue = "RenewalOverdue"
)

// ConditionComponentsReady says whether the deployed workloads run as specified.
const (
	ConditionComponentsReady = "ComponentsReady"

	// ReasonAllAvailable surfaces when every workload runs with all its pods.
	ReasonAllAvailable = "AllAvailable"
	// ReasonUnavailable surfaces when a workload has too few pods; the message names one that is missing, and why.
	ReasonUnavailable = "Unavailable"
	// ReasonRenderFailed surfaces when the objects cannot be built from the spec, as when a patch does not apply.
	ReasonRenderFailed = "RenderFailed"
	// ReasonApplyFailed surfaces when an object could not be written: the API server refuses it, or does not answer.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonNameTaken surfaces when a foreign object has the name of one of ours. It is left alone.
	ReasonNameTaken = "NameTaken"
	// ReasonContested surfaces when another writer keeps undoing what the operator writes, so that it has stopped to write
	// the object. It surfaces for APIServices as well.
	ReasonContested = "Contested"
	// ReasonWorkloadStuck surfaces when pods cannot start until a person acts: a quota, Pod Security, an image that cannot be
	// pulled, a pod that cannot be scheduled, or a volume whose Secret or ConfigMap does not exist. The message names the
	// evidence and what to do.
	ReasonWorkloadStuck = "WorkloadStuck"
	// ReasonKubeletsUnverified surfaces when metrics-server is not ready and cannot verify the serving certificate of any kubelet
	// that was asked; the message has both remedies.
	ReasonKubeletsUnverified = "KubeletsUnverified"
	// ReasonKubeletCAMissing surfaces when the object that metricsServer.kubelet.tls.ca names does not exist, or its key has no
	// certificate in PEM.
	ReasonKubeletCAMissing = "KubeletCAMissing"
	// ReasonRetained surfaces when a component is kept in its last good form because what would replace it is unknown or
	// refused. Its certificate is renewed and its drift repaired all the same.
	ReasonRetained = "Retained"
	// ReasonUnreadable surfaces when the operator may not read a kind of object, or an object cannot be decoded, in the condition
	// that depends on it; the message names the permission or the object.
	ReasonUnreadable = "Unreadable"
)

// ConditionAPIServicesAvailable says whether every wanted metrics API answers.
const (
	ConditionAPIServicesAvailable = "APIServicesAvailable"

	// ReasonPassed is kube-aggregator's reason for an available API.
	ReasonPassed = "Passed"
	// ReasonNoRules surfaces for an API that no rule fills, and that is therefore not registered.
	ReasonNoRules = "NoRules"
	// ReasonServedByOther surfaces for an API whose group has another owner, who does not serve this version.
	ReasonServedByOther = "ServedByOther"
	// ReasonWaitingForBackend surfaces while an API is not registered because its backend does not serve yet, or not with the
	// right certificate.
	ReasonWaitingForBackend = "WaitingForBackend"
	// ReasonWaitingForAggregator surfaces while kube-aggregator has not yet looked at a new APIService.
	ReasonWaitingForAggregator = "WaitingForAggregator"
	// ReasonDisabled surfaces for an API whose policy is Disabled.
	ReasonDisabled = "Disabled"
	// ReasonNotServed surfaces for an API whose policy is Observe and that nothing serves.
	ReasonNotServed = "NotServed"
	// ReasonDeregistered surfaces for an API that was taken away because its backend stayed unavailable and onUnavailable
	// is Deregister.
	ReasonDeregistered = "Deregistered"
	// ReasonConfigurationInvalid surfaces for an API that has rules, none of which the backend would accept.
	ReasonConfigurationInvalid = "ConfigurationInvalid"
)

// ConditionPrometheusReady says whether the source of custom and external metrics answers.
const (
	ConditionPrometheusReady = "PrometheusReady"

	// ReasonReachable surfaces when Prometheus answered a query.
	ReasonReachable = "Reachable"
	// ReasonNotRequired surfaces when neither a rule nor metrics.k8s.io queries Prometheus.
	ReasonNotRequired = "NotRequired"
	// ReasonProbing surfaces until the first query is answered or fails.
	ReasonProbing = "Probing"
	// ReasonPrometheusNotFound surfaces when the cluster has no Prometheus object, not the one that is named, or not the one that
	// was chosen before.
	ReasonPrometheusNotFound = "PrometheusNotFound"
	// ReasonPrometheusAmbiguous surfaces when the cluster has several Prometheus objects, the spec names none, and none was chosen
	// before.
	ReasonPrometheusAmbiguous = "PrometheusAmbiguous"
	// ReasonUnreachable surfaces when Prometheus does not answer a query.
	ReasonUnreachable = "Unreachable"
	// ReasonHostUnknown surfaces when the host of the URL has no address in DNS.
	ReasonHostUnknown = "HostUnknown"
	// ReasonUnauthorized surfaces when Prometheus, or a proxy in front of it, answers 401 or 403.
	ReasonUnauthorized = "Unauthorized"
	// ReasonPrometheusSharded surfaces when the chosen Prometheus object has several shards: each answers for its own
	// targets alone, so that metrics are partial.
	ReasonPrometheusSharded = "PrometheusSharded"
	// ReasonAuthMissing surfaces when a Secret or ConfigMap named in spec.prometheus.tls or spec.prometheus.auth does not
	// exist, or does not have the key.
	ReasonAuthMissing = "AuthMissing"
	// ReasonAuthOverHTTP surfaces when spec.prometheus.auth is set and the Prometheus is queried over http: nothing is sent
	// without spec.prometheus.allowHTTP.
	ReasonAuthOverHTTP = "AuthOverHTTP"
	// ReasonRedirected surfaces when what answers at the URL redirects queries to another one. No redirect is followed.
	ReasonRedirected = "Redirected"
	// ReasonMaxAgeTooShort surfaces when prometheusAdapter.maxAge is shorter than the scrape interval of the chosen
	// Prometheus, so that metrics would vanish between two scrapes.
	ReasonMaxAgeTooShort = "MaxAgeTooShort"
	// ReasonResourceSeriesMissing surfaces when metrics.k8s.io is to be served from Prometheus, and Prometheus has no series of
	// containers or of nodes. What served before goes on until it has.
	ReasonResourceSeriesMissing = "ResourceSeriesMissing"
	// ReasonManagedRemoved surfaces when spec.prometheus.managed was removed while a metrics API needs the Prometheus that the operator
	// runs, and the spec and the cluster name no other.
	ReasonManagedRemoved = "ManagedRemoved"
	// ReasonConfigurationRefused surfaces when the Prometheus that the operator runs has refused its configuration, and goes on with the
	// one before.
	ReasonConfigurationRefused = "ConfigurationRefused"
)

// ConditionRulesAccepted says whether every rule of the spec is in use.
const (
	ConditionRulesAccepted = "RulesAccepted"

	// ReasonAllAccepted surfaces when every rule is in use, or the spec has none.
	ReasonAllAccepted = "AllAccepted"
	// ReasonRulesRejected surfaces when rules are rejected and serve nothing; status.rules names them.
	ReasonRulesRejected = "RulesRejected"
	// ReasonLastGoodInUse surfaces when rules are rejected and each of them serves in its last good form; status.rules names
	// them.
	ReasonLastGoodInUse = "LastGoodInUse"
)

// ConditionScrapeReady says whether annotated apps become targets of Prometheus.
const (
	ConditionScrapeReady = "ScrapeReady"

	// ReasonSelected surfaces when the chosen Prometheus selects every monitor.
	ReasonSelected = "Selected"
	// ReasonScrapeOff surfaces when spec.scrape.targets is empty.
	ReasonScrapeOff = "ScrapeOff"
	// ReasonSelectorsUnknown surfaces when spec.prometheus.url is set: no object says which monitors that Prometheus
	// selects.
	ReasonSelectorsUnknown = "SelectorsUnknown"
	// ReasonCRDsMissing surfaces when the cluster knows no ServiceMonitors or PodMonitors. The metrics APIs do not need
	// them, so Ready does not depend on it.
	ReasonCRDsMissing = "CRDsMissing"
	// ReasonNotSelected surfaces when a selector of the chosen Prometheus excludes our monitors.
	ReasonNotSelected = "NotSelected"
	// ReasonMonitorsFailed surfaces when the API server refuses a monitor.
	ReasonMonitorsFailed = "MonitorsFailed"
	// ReasonCRDsOutdated surfaces when the installed prometheus-operator is older than 0.64, whose monitors cannot compare labels
	// (keepequal): what a user writes could then lead Prometheus to addresses that are not those of the app.
	ReasonCRDsOutdated = "CRDsOutdated"
	// ReasonPrometheusOutdated surfaces when the chosen Prometheus object states a version before 2.41, for which prometheus-operator
	// rejects monitors that compare labels.
	ReasonPrometheusOutdated = "PrometheusOutdated"
	// ReasonScrapeTimeoutTooLong surfaces when scrape.scrapeTimeout is longer than the scrape interval of the chosen Prometheus
	// and scrape.interval is unset: prometheus-operator rejects every monitor.
	ReasonScrapeTimeoutTooLong = "ScrapeTimeoutTooLong"
)

// ConditionMonitoringReady says whether the monitors, the alerts and the dashboard of the stack itself are in place. The metrics
// APIs do without them, so Ready and Stalled do not depend on it.
const (
	ConditionMonitoringReady = "MonitoringReady"

	// ReasonInPlace surfaces when everything that spec.monitoring calls for is in place.
	ReasonInPlace = "InPlace"
	// ReasonMonitoringOff surfaces when nothing monitors the stack: spec.monitoring turns everything off, or the cluster serves
	// none of the kinds.
	ReasonMonitoringOff = "MonitoringOff"
)

// ConditionAutoscalersServed says whether the cluster gives HorizontalPodAutoscalers the metrics that they ask for, as far as an
// administrator is responsible for it. What the owner of an HPA's namespace has to correct is in status.autoscalers and in an Event on
// the HPA alone. Ready and Stalled do not depend on it.
const (
	ConditionAutoscalersServed = "AutoscalersServed"

	// ReasonServed surfaces when no HPA fails for a cause that an administrator removes.
	ReasonServed = "Served"
	// ReasonUnserved surfaces when HPAs fail for causes that an administrator removes, such as a rule that is rejected or an API that
	// is unavailable; the message counts them.
	ReasonUnserved = "Unserved"
)

// ScrapeOptOutLabel on a Namespace keeps its apps from being scraped, unless its value is "true".
const ScrapeOptOutLabel = "metricspipeline.io/scrape"

// FieldManager is the one field manager by which the operator applies objects.
const FieldManager = "metricspipeline-operator"

// ManagedLabel is on every object that the operator manages; its value is the pipeline's name.
const ManagedLabel = "metricspipeline.io/pipeline"

// ComponentLabel is on every object that belongs to one component; its value is the component's name.
const ComponentLabel = "metricspipeline.io/component"
