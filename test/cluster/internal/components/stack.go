package components

import "time"

// stack are the components that make test-stack alone needs: what people run beside the operator, and the control plane of the next
// minor of Kubernetes. They are built when they are asked for by name.
var stack = []Component{
	{
		Name:   "kubernetes-next",
		Folder: "next",
		Module: "k8s.io/kubernetes",
		Binaries: []Binary{
			{KubeAPIServerNext, "k8s.io/kubernetes/cmd/kube-apiserver"},
			{KubeControllerManagerNext, "k8s.io/kubernetes/cmd/kube-controller-manager"},
		},
		Cold:             190 * time.Second,
		Packages:         1900,
		versionVariables: []string{"k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"},
	},
	{
		Name:     "vertical-pod-autoscaler",
		Folder:   "next",
		Module:   "k8s.io/autoscaler/vertical-pod-autoscaler",
		Binaries: []Binary{{VPARecommender, "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender"}},
		Cold:     60 * time.Second,
		Packages: 100,
	},
	{
		Name:   "keda",
		Module: "github.com/kedacore/keda/v2",
		Binaries: []Binary{
			{KEDAOperator, "github.com/kedacore/keda/v2/cmd/operator"},
			{KEDAAdapter, "github.com/kedacore/keda/v2/cmd/adapter"},
		},
		Cold:             456 * time.Second,
		Packages:         3000,
		versionVariables: []string{"github.com/kedacore/keda/v2/version.Version"},
	},
	{
		Name:             "traefik",
		Module:           "github.com/traefik/traefik/v3",
		Binaries:         []Binary{{Traefik, "github.com/traefik/traefik/v3/cmd/traefik"}},
		Cold:             230 * time.Second,
		Packages:         2500,
		versionVariables: []string{"github.com/traefik/traefik/v3/pkg/version.Version"},
	},
	{
		Name:             thanos,
		Module:           "github.com/thanos-io/thanos",
		Binaries:         []Binary{{thanos, "github.com/thanos-io/thanos/cmd/thanos"}},
		Cold:             300 * time.Second,
		Packages:         1400,
		versionVariables: []string{"github.com/prometheus/common/version.Version"},
	},
}
