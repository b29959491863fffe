# Tasks of the project. `make` alone lists them. Tools are Go modules pinned in tools/go.mod and tools/lint/go.mod,
# the parts of the test cluster in test/cluster: only Go, make and the Debian packages below come from outside.

VERSION         ?= v0.2.0
# The release before it: the bundle for OLM upgrades from that.
REPLACES        ?= v0.1.0
IMG             ?= ghcr.io/metricspipeline/operator:$(VERSION)
# Set to yes once the image of IMG can be pulled; RELEASE.md says when.
PUBLISHED       ?=
# What `make build` writes; GOOS and GOARCH say for which machine.
MANAGER         ?= bin/manager
PLUGIN          ?= bin/kubectl-metricspipeline
# The application that test-e2e and demo scale.
SAMPLE_IMG      ?= metricspipeline.io/sample-app:e2e
KUBECTL         ?= hack/kubectl
# What the test cluster runs, and gcc for the race detector alone, which links a C library: all else is static, without C.
NODE_PACKAGES   := containerd runc containernetworking-plugins nftables iptables ipset conntrack iproute2
DEBIAN_PACKAGES := $(NODE_PACKAGES) gcc libc6-dev
ROW             ?= P2
# Flags added to every `go test`, for example GOTESTFLAGS='-run TestName'.
GOTESTFLAGS     ?=
# -race runs the unit tests and the operator of test-envtest under the race detector, as presubmit does. It costs time, so the
# loops of a developer go without. It needs C.
RACE            ?=
# What `make test` has test the stack: presubmit has it only if what that proves has changed.
STACK           ?= test-stack
WITH_RACE        = $(if $(RACE),CGO_ENABLED=1)

TOOL            := go tool -modfile=tools/go.mod
# The manifests of an installation, with the image IMG.
INSTALL_FROM    ?= config/default
INSTALLER       := $(TOOL) kustomize build $(INSTALL_FROM) | sed 's|image: ghcr.io/metricspipeline/operator:.*|image: $(IMG)|'
CHART           := charts/metricspipeline-operator
LINTER          := golangci-lint-kube-api-linter
LINT_MODULES    := . test/cluster test/chart tools/bundle tools/compat tools/release
TIDY_MODULES    := . test/cluster test/chart test/promconfig test/promconfig/upstream tools tools/bundle tools/compat tools/lint tools/release
GENERATED       := api/v1alpha1/zz_generated.deepcopy.go internal/render/schema.json internal/assets/self-monitoring/base/metricspipeline.json \
                   config/crd/bases config/rbac/role.yaml \
                   docs/reference/api.md docs/reference/cli docs/conditions/Stalled.md bundle bundle.Dockerfile olm \
                   $(CHART)/crds $(CHART)/templates/config

SHELL           := bash
.SHELLFLAGS     := -euo pipefail -c
.DEFAULT_GOAL   := help
MAKEFLAGS       += --no-print-directory
export VERSION IMG SAMPLE_IMG
# Whatever is compiled is compiled with the same flags, so that no package is compiled twice: without C, without paths of this
# machine, and without debug information, which is a sixth of a compiler's time. test/cluster has the same (compilerSettings).
COMPILER        := -trimpath -gcflags=all=-dwarf=false
CGO_ENABLED     := 0
GOFLAGS         := $(strip $(filter-out $(COMPILER),$(GOFLAGS)) $(COMPILER))
export CGO_ENABLED GOFLAGS
# Targets share the test cluster and two build caches; presubmit runs its parts in the order it lists them.
.NOTPARALLEL:

##@ Start
.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install the Debian packages (as root), then fetch and build everything that later targets need.
	@hack/setup.sh all $(DEBIAN_PACKAGES)

.PHONY: demo
demo: ## Watch a pipeline come up and an HPA scale on a custom metric, from nothing; uses KUBECONFIG or a cluster of its own.
	@hack/setup.sh demo $(NODE_PACKAGES)
	@CLUSTER_START_FLAGS=--without-prometheus hack/with-cluster.sh bin/demo

##@ Develop
.PHONY: generate
generate: ## Write the deepcopy methods of api/, the schema by which kustomize merges patches, and the dashboard.
	@$(TOOL) controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
	@schema=$$(go run ./hack/kustomize-schema) && echo "$$schema" > internal/render/schema.json
	@dashboard=$$(go run ./hack/dashboard) && echo "$$dashboard" > internal/assets/self-monitoring/base/metricspipeline.json

.PHONY: manifests
manifests: ## Write the CRD from the types, and the roles from the markers in the code.
	@$(TOOL) controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	@$(TOOL) controller-gen rbac:roleName=metricspipeline-operator paths=./internal/... paths=./cmd/... \
		output:rbac:artifacts:config=config/rbac

.PHONY: docs
docs: ## Write docs/reference/ from the types and the commands, and docs/conditions/Stalled.md from the code that decides what is stalled.
	@mkdir -p docs/reference
	@$(TOOL) crd-ref-docs --log-level=ERROR --renderer=markdown --config=hack/crd-ref-docs/config.yaml \
		--templates-dir=hack/crd-ref-docs --source-path=api/v1alpha1 --output-path=docs/reference/api.md
	@go run ./hack/cli-docs docs/reference/cli
	@page=$$(go run ./hack/stalled-page) && echo "$$page" > docs/conditions/Stalled.md

.PHONY: chart
chart: ## Write the templates of the Helm chart from config/.
	@go -C tools/release run . chart

.PHONY: bundle
bundle: ## Write the bundle for OLM, and the catalog files that go beside it, from config/.
	@go run -C tools/bundle . -root=../.. -version=$(VERSION) -replaces=$(REPLACES) -catalog=../../olm $(BUNDLE_FLAGS)

.PHONY: fmt
fmt: ## Format the code and group its imports.
	@hack/each-module.sh "$(LINT_MODULES)" $(LINTER) fmt

.PHONY: lint
lint: ## Run the linters, and prove that the one that checks the layers works.
	@hack/each-module.sh "$(LINT_MODULES)" $(LINTER) run
	go test -count=1 ./hack/layers

.PHONY: verify
verify: ## Fail if a generated file, a go.mod, a kustomization or a proof is out of step, or a file is too long.
	@hack/verify-generated.sh $(GENERATED)
	@hack/verify-tidy.sh $(TIDY_MODULES)
	@hack/verify-kustomize.sh
	@hack/verify-size.sh
	@hack/verify-role.sh
	@hack/verify-isolation.sh
	@hack/verify-releases.sh

.PHONY: build
build: manager plugin ## Build bin/manager and bin/kubectl-metricspipeline, static and reproducible.

.PHONY: manager
manager:
	go build -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o $(MANAGER) ./cmd/manager

.PHONY: plugin
plugin:
	go build -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o $(PLUGIN) ./cmd/kubectl-metricspipeline

.PHONY: build-installer
build-installer: need-image dist/install.yaml ## Write dist/install.yaml: everything that `make deploy` applies, in one file.
	@echo "dist/install.yaml is ready for kubectl apply --server-side -f"

.PHONY: release
release: ## Write what is published as VERSION into dist/: images, install.yaml, bundle, chart, checksums; pushes nothing.
	@go -C tools/release run . build $(VERSION)

.PHONY: clean
clean: ## Remove what was built here; the cluster's binaries stay in their cache.
	rm -rf bin dist

##@ Test
.PHONY: test
test: setup-test test-unit test-envtest ## Run every test, from nothing.
	@hack/beside.sh "test-e2e test-e2e-bare $(STACK)" test-release test-chart test-alerts test-promconfig test-olm test-faults

.PHONY: setup-test
setup-test:
	@hack/setup.sh test $(DEBIAN_PACKAGES)

.PHONY: test-unit
test-unit: ## Test the packages; needs nothing but Go.
	$(WITH_RACE) go test $(RACE) $(GOTESTFLAGS) ./api/... ./cmd/... ./internal/... ./docs/... ./test/e2e/demo/picture
	go test -C test/cluster $(GOTESTFLAGS) ./internal/...
	go test -C tools/bundle $(GOTESTFLAGS)

.PHONY: test-release
test-release: ## Test what a release consists of; builds one twice.
	go test -C tools/release -count=1 -timeout 10m $(GOTESTFLAGS)

.PHONY: test-chart
test-chart: bin/cluster ## Test the Helm chart with Helm's library, on a real kube-apiserver and etcd.
	@assets=$$(bin/cluster binaries kube-apiserver etcd kubectl) && \
		KUBEBUILDER_ASSETS="$$assets" go test -C test/chart -count=1 -timeout 10m $(GOTESTFLAGS)

.PHONY: test-alerts
test-alerts: bin/cluster ## Test that each alert fires for its cause, with Prometheus' promtool.
	@programs=$$(bin/cluster binaries promtool) && PROMTOOL="$$programs/promtool" go test -C test/alerts -count=1 $(GOTESTFLAGS)

.PHONY: test-promconfig
test-promconfig: ## Prove that scrape configurations make the targets that prometheus-operator makes of the same monitors.
	@corpus=$$(mktemp -d) && trap "rm -rf $$corpus" EXIT && \
		go test -count=1 ./internal/scrape/promconfig -run TestCorpus -corpus "$$corpus" && \
		go run -C test/promconfig/upstream . "$$corpus" && \
		PROMCONFIG_CORPUS="$$corpus" go test -C test/promconfig -count=1 $(GOTESTFLAGS)

.PHONY: test-envtest
test-envtest: bin/cluster ## Test user stories against a real kube-apiserver and etcd.
	@assets=$$(bin/cluster binaries kube-apiserver etcd kubectl) && \
		KUBEBUILDER_ASSETS="$$assets" $(WITH_RACE) hack/shards.sh 3 test/envtest -count=1 -timeout 15m -ldflags=-w $(RACE) $(GOTESTFLAGS)

.PHONY: test-olm
test-olm: build bin/cluster ## Install, upgrade and remove the bundle by the real Operator Lifecycle Manager; 1 minute.
	@hack/release-binary.sh v0.1.0 bin/manager-v0.1.0
	@assets=$$(bin/cluster binaries kube-apiserver etcd kubectl kube-controller-manager olm catalog opm) && \
		KUBEBUILDER_ASSETS="$$assets" go test -C test/envtest/olm -count=1 -timeout 10m $(GOTESTFLAGS)

.PHONY: test-faults
test-faults: bin/cluster ## Break everything on the way, and print how much of it is survived; 9 minutes.
	@assets=$$(bin/cluster binaries kube-apiserver etcd kubectl) && \
		KUBEBUILDER_ASSETS="$$assets" go test -C test/envtest/faults -count=1 -timeout 30m $(GOTESTFLAGS)

.PHONY: test-role
test-role: bin/cluster ## Prove that the operator misses each of its permissions, after a change of its role; 10 minutes.
	@assets=$$(bin/cluster binaries kube-apiserver etcd kubectl) && \
		KUBEBUILDER_ASSETS="$$assets" go test -C test/envtest/role -count=1 -timeout 60m $(GOTESTFLAGS)

.PHONY: test-isolation
test-isolation: bin/cluster ## Prove that a fault stays in its component in each scenario, after a change of what keeps it there; 5 minutes.
	@digest=$$(hack/verify-isolation.sh digest) && assets=$$(bin/cluster binaries kube-apiserver etcd kubectl) && \
		KUBEBUILDER_ASSETS="$$assets" go test -C test/envtest/faults -count=1 -timeout 60m -run '^TestIsolation$$' $(GOTESTFLAGS) \
		-args -isolation="$$digest"

.PHONY: test-e2e
test-e2e: build dist/install.yaml bin/sample-app bin/cluster ## Test the main job on a real node; as root, on a machine that can run containers.
	@hack/container-host.sh || { code=$$?; [ $$code -eq 2 ] && exit 0; exit 1; }; \
		CLUSTER_FLAGS=--enforce-network-policies AROUND=hack/with-cluster.sh \
		hack/shards.sh 2 test/e2e -count=1 -v -timeout 60m -tags e2e -skip '^TestStack' $(GOTESTFLAGS)

.PHONY: test-stack
test-stack: build dist/install.yaml bin/sample-app bin/cluster ## Test beside KEDA, VPA, Traefik, OLM and the next Kubernetes on a real node; as root, 35 minutes, the first time 21 more.
	@digest=$$(hack/verify-stack.sh digest) && hack/container-host.sh || { code=$$?; [ $$code -eq 2 ] && exit 0; exit 1; }; \
		CLUSTER_FLAGS='--enforce-network-policies --next-control-plane' \
		hack/with-cluster.sh go test -count=1 -v -timeout 60m -tags e2e -run '^TestStack' $(GOTESTFLAGS) ./test/e2e -args -stack="$$digest"

.PHONY: test-e2e-bare
test-e2e-bare: build dist/install.yaml bin/sample-app bin/cluster ## Test a cluster that has no Prometheus; as root, with the test cluster down.
	@hack/container-host.sh || { code=$$?; [ $$code -eq 2 ] && exit 0; exit 1; }; \
		CLUSTER_FLAGS=--without-prometheus hack/with-cluster.sh go test -count=1 -v -timeout 15m -tags e2e $(GOTESTFLAGS) ./test/e2e/bare

.PHONY: dashboard-picture
dashboard-picture: export DASHBOARD_PICTURE = $(CURDIR)/docs/images/dashboard.svg
dashboard-picture: ## Draw docs/images/dashboard.svg from what the Prometheus of the test cluster answers.
	@mkdir -p $(dir $(DASHBOARD_PICTURE))
	@$(MAKE) test-e2e GOTESTFLAGS='-run ^TestMonitoring$$$$'

.PHONY: bench
bench: build dist/install.yaml bin/sample-app bin/cluster ## Measure one row (ROW=P2) against its floor.
	@hack/with-cluster.sh go run ./test/bench -row $(ROW)

.PHONY: presubmit
presubmit: RACE = -race
presubmit: STACK = stack-proof
presubmit: lint verify test ## Everything that CI runs.

##@ Cluster
.PHONY: cluster-up
cluster-up: bin/cluster ## Start the single-node test cluster and keep it (as root).
	@bin/cluster up

.PHONY: cluster-down
cluster-down: bin/cluster ## Stop it, and those that tests started beside it, and remove every process, mount and network namespace of them.
	@bin/cluster down
	@for dir in /var/lib/metricspipeline-cluster-[0-9]*; do [ ! -e "$$dir" ] || bin/cluster down --state-dir "$$dir"; done

.PHONY: image
image: build bin/cluster ## Pack bin/manager as IMG into the test cluster; elsewhere use `docker build -t IMG .`.
	@if bin/cluster status >/dev/null 2>&1; then bin/cluster load $(IMG) --binary bin/manager; \
		else echo "no test cluster is up: run make cluster-up first, or build for another one with docker build -t $(IMG) ." >&2; exit 1; fi

.PHONY: install
install: ## Apply the CRD alone.
	@$(TOOL) kustomize build config/crd | $(KUBECTL) apply --server-side -f -

.PHONY: deploy
deploy: need-image ## Apply the CRD, the roles and the operator.
	@$(INSTALLER) | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: ## Delete what deploy applied.
	@$(TOOL) kustomize build config/default | $(KUBECTL) delete --ignore-not-found -f -

# Not listed: the stack where its proof is of other sources; IMG given or published, so that no pod waits for an image that is nowhere;
# what tests apply, with their IMG; the application of the tests, the demo, and the cluster program. Go decides whether they are up to
# date.
.PHONY: stack-proof
stack-proof:
	@hack/verify-stack.sh || $(MAKE) test-stack

.PHONY: need-image
need-image:
	@[ "$(origin IMG)" != file ] || [ -n "$(PUBLISHED)" ] || { echo "IMG is not set, and no image of the operator is published yet:" \
		"run docker build -t REGISTRY/operator:TAG . and docker push REGISTRY/operator:TAG, then make $(MAKECMDGOALS) IMG=REGISTRY/operator:TAG;" \
		"for the test cluster run make image $(MAKECMDGOALS) IMG=$(IMG)" >&2; exit 1; }

.PHONY: dist/install.yaml
dist/install.yaml:
	@mkdir -p dist
	@$(INSTALLER) > $@

.PHONY: bin/sample-app
bin/sample-app:
	@go build -buildvcs=false -ldflags "-s -w" -o $@ ./test/e2e/app

.PHONY: bin/demo
bin/demo:
	@go build -buildvcs=false -ldflags "-s -w" -o $@ ./test/e2e/demo

.PHONY: bin/cluster
bin/cluster:
	@go build -C test/cluster -buildvcs=false -ldflags "-s -w" -o ../../bin/cluster .
