// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// manyRestarts is how often a container must end before that is evidence. While a cluster starts, a container may end because
// the API server is not up yet, and the kubelet's next two tries are within 30 s.
const manyRestarts = 3

// worst is the evidence of the pod that most needs a person's attention: of the newest that is stuck, else of the newest
// that waits for something it names, else the newest that is not ready.
func worst(pods []corev1.Pod) evidence {
	var all []evidence
	var unready evidence
	for _, pod := range pods {
		found := ailment(pod)
		if found.text != "" {
			found.text = fmt.Sprintf("Pod %s: %s", pod.Name, found.text)
			all = append(all, found)
		} else if unready.text == "" && !PodReady(&pod) {
			doing := "runs and is not ready"
			if isCreating(pod) {
				doing = "is starting"
			}
			unready.text = fmt.Sprintf("Pod %s %s.", pod.Name, doing)
		}
	}
	return weightiest(append(all, unready)...)
}

// ailment is why a pod has no node, or why a container of it does not run.
func ailment(pod corev1.Pod) evidence {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return scheduling(pod, condition)
		}
	}
	var all []evidence
	for _, container := range containerStatuses(pod) {
		found := cmp.Or(crashing(pod, container), waitingContainer(pod, container))
		if found.text != "" {
			found.text = fmt.Sprintf("container %s: %s", container.Name, found.text)
			all = append(all, found)
		}
	}
	return weightiest(all...)
}

// scheduling is the evidence of a pod without a node. It is stuck unless the scheduler waits for something: a scheduling gate,
// the pods that it has preempted, or a node that an autoscaler has named in nominatedNodeName.
func scheduling(pod corev1.Pod, condition corev1.PodCondition) evidence {
	text := fmt.Sprintf("%s: %s.", condition.Reason, strings.TrimSuffix(strings.TrimSpace(condition.Message), "."))
	if condition.Reason != corev1.PodReasonUnschedulable {
		return evidence{false, text}
	}
	if node := pod.Status.NominatedNodeName; node != "" {
		return evidence{false, fmt.Sprintf("%s It waits for node %s.", text, node)}
	}
	if portless.MatchString(condition.Message) {
		// An old pod that ends makes room, and the scheduler says the same until it has. Where none does, see crowded.
		return evidence{false, text + " With hostNetwork a node has room for one pod of the component. The user of the pipeline must " +
			"lower its replicas to the number of nodes or set its port to one that is free, or an administrator of the cluster add a node."}
	}
	return evidence{true, text + " An administrator of the cluster must add or free a node that fits, unless an autoscaler does, or the " +
		"user of the pipeline change the component's resources, nodeSelector, affinity or tolerations."}
}

// portless finds in the scheduler's words how many nodes have no free port for a pod in the network of its node.
var portless = regexp.MustCompile(`(\d+) node\(s\) didn't have free ports`)

// crowded is the evidence of a pod for which no node has a free port, because each has a pod of the same Deployment that does not end.
func crowded(current, earlier []corev1.Pod) evidence {
	placed := 0
	for _, pod := range slices.Concat(current, earlier) {
		if pod.Spec.NodeName != "" {
			placed++
		}
	}
	for _, pod := range current {
		for _, condition := range pod.Status.Conditions {
			found := portless.FindStringSubmatch(condition.Message)
			if condition.Type != corev1.PodScheduled || found == nil {
				continue
			}
			if nodes, err := strconv.Atoi(found[1]); err == nil && nodes <= placed {
				return evidence{true, fmt.Sprintf("Pod %s: %s", pod.Name, scheduling(pod, condition).text)}
			}
		}
	}
	return evidence{}
}

// crashing is the evidence of a container that ends again and again. The kubelet restarts it in between, so it counts also
// while it runs, unless the pod is ready or was since the container started. The text has neither the number of restarts nor
// the length of the backoff: each restart would change the status.
func crashing(pod corev1.Pod, container corev1.ContainerStatus) evidence {
	last := cmp.Or(container.State.Terminated, container.LastTerminationState.Terminated)
	if last == nil || container.Ready || PodReady(&pod) {
		return evidence{}
	}
	if running := container.State.Running; running != nil {
		wasReady := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.LastTransitionTime.After(running.StartedAt.Time)
		})
		if wasReady || container.RestartCount < manyRestarts {
			return evidence{}
		}
	}
	how := fmt.Sprintf("(exit code %d: %s)%s", last.ExitCode, last.Reason, said(last.Message))
	if container.RestartCount < manyRestarts {
		return evidence{false, "CrashLoopBackOff: it has ended " + how + " and is restarted."}
	}
	remedy := "The user of the pipeline must read its log (kubectl logs --previous) and correct the component's settings or patches."
	if last.Reason == "OOMKilled" {
		remedy = "The user of the pipeline must raise the memory limit in the component's resources."
	}
	return evidence{true, fmt.Sprintf("CrashLoopBackOff: it has ended %d times or more %s. %s", manyRestarts, how, remedy)}
}

// mostSaid bounds what is repeated of a container's last words, in bytes.
const mostSaid = 400

// said is what a container said at its end, where it is one that does (terminationMessagePolicy), on one line. The end of it has the error.
func said(message string) string {
	words := strings.Join(strings.Fields(message), " ")
	if words == "" {
		return ""
	}
	if len(words) > mostSaid {
		words = strings.ToValidUTF8(words[len(words)-mostSaid:], "")
	}
	return fmt.Sprintf(", saying %q", words)
}

// pullReasons are the kubelet's for an image that it could not pull.
var pullReasons = []string{"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"}

// waitingContainer is the evidence of a container that has not been started. The reasons are the kubelet's
// (pkg/kubelet/images, pkg/kubelet/kuberuntime).
func waitingContainer(pod corev1.Pod, container corev1.ContainerStatus) evidence {
	waiting := container.State.Waiting
	if waiting == nil || starts(waiting.Reason) {
		return evidence{}
	}
	image := imageOf(pod, container)
	if slices.Contains(pullReasons, waiting.Reason) {
		return pull(image, *waiting)
	}
	switch waiting.Reason {
	case "SignatureValidationFailed":
		return evidence{true, fmt.Sprintf("the signature of image %s is not accepted by the node: %s. An administrator of the cluster "+
			"must let the nodes' policy accept it, or the user of the pipeline name a signed image.", image, cause(waiting.Message))}
	case "ErrImageNeverPull":
		return evidence{true, fmt.Sprintf("image %s is not on node %s, and imagePullPolicy is Never. An administrator of the cluster must "+
			"load it there, or the user of the pipeline take back the patch of imagePullPolicy.", image, pod.Spec.NodeName)}
	case "InvalidImageName":
		return evidence{true, fmt.Sprintf("%q is no name of an image. The user of the pipeline must correct the component's image.", image)}
	case "CreateContainerConfigError":
		return evidence{true, fmt.Sprintf("its configuration cannot be used: %s. The user of the pipeline must create what is missing, or "+
			"correct the setting or patch that names it.", cause(waiting.Message))}
	case "CreateContainerError":
		found := evidence{true, fmt.Sprintf("node %s cannot create it: %s.", pod.Spec.NodeName, cause(waiting.Message))}
		if found.stuck = !transient(waiting.Message); found.stuck {
			found.text += " An administrator of the cluster must look at the node's container runtime, or the user of the pipeline " +
				"correct the component's image or patches."
		}
		return found
	}
	return evidence{false, strings.TrimSuffix(waiting.Reason+": "+cause(waiting.Message), ": ") + "."}
}

// pull is the evidence of an image that was not pulled. ErrImagePull and ImagePullBackOff follow one another at every try
// and mean the same, so both give one text.
func pull(image string, waiting corev1.ContainerStateWaiting) evidence {
	message := waiting.Message
	if waiting.Reason != "ImagePullBackOff" {
		message = waiting.Reason + ": " + message // As the kubelet writes it while it backs off.
	}
	text := fmt.Sprintf("image %s cannot be pulled", image)
	if why := cause(message); why != "" {
		text += ": " + why
	}
	if transient(message) {
		return evidence{false, text + ". The kubelet tries again."}
	}
	return evidence{true, text + ". The user of the pipeline must correct the component's image or imagePullSecrets, or an administrator " +
		"of the cluster bring the image into its registry or let the nodes reach that."}
}

var (
	backOff   = regexp.MustCompile(`^Back-off pulling image "[^"]*"(: )?`)
	reason    = regexp.MustCompile(`^(ErrImagePull|RegistryUnavailable|SignatureValidationFailed): `)
	code      = regexp.MustCompile(`^rpc error: code = (\w+) desc = `)
	addresses = regexp.MustCompile(`\b(read|write) (tcp|udp) \S+->(\S+): `)
)

// cause returns the container runtime's words in a message of the kubelet, without what changes with every try: whether the
// kubelet tries or backs off, and the local port of a connection.
func cause(message string) string {
	message = reason.ReplaceAllString(backOff.ReplaceAllString(message, ""), "")
	message = code.ReplaceAllString(message, "")
	message = addresses.ReplaceAllString(message, "$1 $2 $3: ")
	return strings.TrimSuffix(strings.TrimSpace(message), ".")
}

// transient is true where the container runtime says itself that another try may do: by its gRPC code, by the kubelet's
// word for a registry that does not answer, or because the kubelet limits its own pulls. Most runtimes give no code for
// an unknown host, a refused login or a rate limit; those count as faults that a person must correct.
func transient(message string) bool {
	message = backOff.ReplaceAllString(message, "")
	if strings.HasPrefix(message, "RegistryUnavailable: ") || strings.HasSuffix(message, "pull QPS exceeded") {
		return true
	}
	message = reason.ReplaceAllString(message, "")
	found := code.FindStringSubmatch(message)
	if found == nil {
		return message == "context deadline exceeded"
	}
	return slices.Contains([]string{"Aborted", "Canceled", "DeadlineExceeded", "ResourceExhausted", "Unavailable"}, found[1])
}

// starts is true for the reasons of a container that is about to run.
func starts(reason string) bool { return reason == "ContainerCreating" || reason == "PodInitializing" }

// containerStatuses returns those of the init containers first, as they run first.
func containerStatuses(pod corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// imageOf returns the image as the pod names it; the status has the runtime's name for it.
func imageOf(pod corev1.Pod, status corev1.ContainerStatus) string {
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if container.Name == status.Name {
			return container.Image
		}
	}
	return status.Image
}
