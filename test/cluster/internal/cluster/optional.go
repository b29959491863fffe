package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/metricspipeline/operator/test/cluster/internal/components"
)

var (
	//go:embed manifests/cert-manager.yaml
	certManagerManifest string
	//go:embed manifests/olm.yaml
	olmManifest string
	//go:embed manifests/keda.yaml
	kedaManifest string
	//go:embed manifests/vertical-pod-autoscaler.yaml
	vpaManifest string
	//go:embed manifests/traefik.yaml
	traefikManifest string
)

// optionalTimeout bounds the installation, after the building, and the removal of an addon.
const optionalTimeout = 2 * time.Minute

// optional is an addon that a cluster starts without.
type optional struct {
	// component has its custom resources in the folder or file crds of its module; empty for none.
	component, crds string
	// finalizes says that its objects have finalizers, which its own controllers remove.
	finalizes bool
	images    []image
	manifest  string
	// namespace of the deployments.
	namespace   string
	deployments []string
}

// optionals are the addons that can be installed and removed, by name.
var optionals = map[string]optional{
	"cert-manager": {
		component: "cert-manager",
		crds:      filepath.Join("deploy", "crds"),
		images: []image{{
			binary: components.CertManager, repository: "quay.io/jetstack/cert-manager-controller", path: "/controller",
		}},
		manifest:    certManagerManifest,
		namespace:   "cert-manager",
		deployments: []string{"cert-manager"},
	},
	"operator-lifecycle-manager": {
		component: "operator-lifecycle-manager",
		crds:      filepath.Join("deploy", "chart", "crds"),
		images: []image{
			{
				binary: components.OLM, repository: "quay.io/operator-framework/olm", path: "/bin/olm",
				more: map[string]string{
					"/bin/catalog": components.Catalog, "/bin/cpb": components.CopyBundle, "/bin/cp": components.Copy,
				},
			},
			{binary: components.OPM, repository: "quay.io/operator-framework/opm", path: "/bin/opm"},
		},
		manifest:    olmManifest,
		namespace:   "olm",
		deployments: []string{"olm-operator", "catalog-operator"},
	},
	"keda": {
		component: "keda",
		crds:      filepath.Join("config", "crd", "bases"),
		finalizes: true,
		images: []image{{
			binary: components.KEDAOperator, repository: "ghcr.io/kedacore/keda", path: "/keda",
			more: map[string]string{"/keda-adapter": components.KEDAAdapter},
		}},
		manifest:    kedaManifest,
		namespace:   "keda",
		deployments: []string{"keda-operator", "keda-metrics-apiserver"},
	},
	"vertical-pod-autoscaler": {
		component: "vertical-pod-autoscaler",
		crds:      filepath.Join("deploy", "vpa-v1-crd-gen.yaml"),
		images: []image{{
			binary: components.VPARecommender, repository: "registry.k8s.io/autoscaling/vpa-recommender", path: "/recommender",
		}},
		manifest:    vpaManifest,
		namespace:   "kube-system",
		deployments: []string{"vpa-recommender"},
	},
	"traefik": {
		component: "traefik",
		images: []image{{
			binary: components.Traefik, repository: "docker.io/library/traefik", path: "/traefik",
		}},
		manifest:    traefikManifest,
		namespace:   "traefik",
		deployments: []string{"traefik"},
	},
}

// Addons are the names of the addons that can be installed and removed.
func Addons() []string { return components.Optional }

// InstallAddon builds an addon if need be, puts it into the cluster, and waits until it runs.
func (c *Cluster) InstallAddon(ctx context.Context, name string) error {
	s, addon, crds, err := c.addon(ctx, "addon install", name)
	if err != nil {
		return err
	}
	if s.binaries, err = c.builder.Binaries(ctx, binariesOf(addon.images)...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, optionalTimeout)
	defer cancel()
	for _, image := range addon.images {
		if err := s.loadImage(ctx, image); err != nil {
			return err
		}
	}
	if err := s.applyResources(ctx, name, crds); err != nil {
		return err
	}
	if err := s.apply(ctx, addon.manifest); err != nil {
		return fmt.Errorf("applying %s: %w", name, err)
	}
	for _, deployment := range addon.deployments {
		if err := s.waitForWorkload(ctx, "deployment/"+deployment, addon.namespace, "Available"); err != nil {
			return err
		}
	}
	c.log("%s is installed", name)
	return nil
}

// applyResources makes the custom resources of an addon, and waits until they are served: its controllers end otherwise.
func (s *starter) applyResources(ctx context.Context, name, crds string) error {
	if crds == "" {
		return nil
	}
	if _, err := s.kubectl(ctx, "", "apply", "--server-side", "--filename", crds); err != nil {
		return fmt.Errorf("applying the custom resources of %s: %w", name, err)
	}
	_, err := s.kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=30s", "--filename", crds)
	return err
}

// binariesOf returns the names of what is in the images.
func binariesOf(images []image) []string {
	var names []string
	for _, i := range images {
		names = append(names, i.binary)
		names = slices.AppendSeq(names, maps.Values(i.more))
	}
	return names
}

// RemoveAddon takes an addon away, with its custom resources and all objects of them, and waits until they are gone. What
// is not there is no error.
func (c *Cluster) RemoveAddon(ctx context.Context, name string) error {
	s, addon, crds, err := c.addon(ctx, "addon remove", name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, optionalTimeout)
	defer cancel()
	steps := []removal{{what: name, manifest: addon.manifest, file: "-"}}
	if crds != "" {
		steps = append(steps, removal{what: "the custom resources of " + name, file: crds})
	}
	if addon.finalizes {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if _, err := s.kubectl(ctx, step.manifest, "delete", "--ignore-not-found", "--wait", "--filename", step.file); err != nil {
			return fmt.Errorf("removing %s: %w", step.what, err)
		}
	}
	c.log("%s is removed", name)
	return nil
}

// removal is one deletion by kubectl: of the file, or of the manifest where that is -.
type removal struct {
	what, manifest, file string
}

// addon returns the addon of that name and where its custom resources are, for a command on a cluster that is up.
func (c *Cluster) addon(ctx context.Context, command, name string) (*starter, optional, string, error) {
	addon, ok := optionals[name]
	if !ok {
		return nil, addon, "", fmt.Errorf("no addon %q: there are %s", name, strings.Join(Addons(), ", "))
	}
	s, err := c.running(command)
	if err != nil {
		return nil, addon, "", err
	}
	if addon.crds == "" {
		return s, addon, "", nil
	}
	dir, err := c.builder.ModuleDir(ctx, addon.component)
	return s, addon, filepath.Join(dir, addon.crds), err
}
