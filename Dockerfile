# The operator's image: one static binary, no shell, no root. `make image` packs the same binary for the test cluster
# without a container builder.
ARG GO_VERSION=1.26
ARG VERSION=v0.2.0

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS builder
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
WORKDIR /src
# Modules change less often than code: a layer of their own keeps them cached.
COPY go.mod go.sum ./
RUN go mod download
COPY api/ api/
COPY cmd/ cmd/
COPY internal/ internal/
RUN CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} \
    go build -trimpath -gcflags=all=-dwarf=false -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /manager ./cmd/manager

# Has the public certificate authorities and nothing that runs. `make release` packs the same without a container builder.
FROM gcr.io/distroless/static:nonroot
ARG VERSION
LABEL org.opencontainers.image.title="MetricsPipeline operator"
LABEL org.opencontainers.image.description="One custom resource gives a Kubernetes cluster its whole metrics stack."
LABEL org.opencontainers.image.source="https://github.com/metricspipeline/operator"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.version="${VERSION}"
WORKDIR /
COPY --from=builder /manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
