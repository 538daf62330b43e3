# Two small images: `operator` (operator and embedded store) and `sidecar` (trainer and server).
#
#   docker build --target sidecar -t recmesh/sidecar .
#
# builds everything by itself. Where the binaries are built already (target/release, as tests/cluster/images does):
#
#   docker build --build-arg BINARIES=prebuilt --target sidecar -f Dockerfile CONTEXT   # CONTEXT holds bin/recmesh-*
#
# BASE needs glibc, libgcc and CA certificates, no shell.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG BUILDER=docker.io/library/rust:1.95-bookworm
ARG BINARIES=build

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p recommender-operator -p recommender-store -p recommender-sidecar \
    && mkdir /bin-out && cp target/release/recmesh-operator target/release/recmesh-store target/release/recmesh-sidecar /bin-out/

FROM scratch AS prebuilt
COPY bin/ /bin-out/

FROM ${BINARIES} AS binaries

FROM ${BASE} AS operator
COPY --from=binaries /bin-out/recmesh-operator /bin-out/recmesh-store /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/recmesh-operator"]

FROM ${BASE} AS sidecar
COPY --from=binaries /bin-out/recmesh-sidecar /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/recmesh-sidecar"]
