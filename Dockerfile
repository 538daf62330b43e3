# Two small images: `operator` (operator and embedded store) and `sidecar` (trainer and server).
#
#   docker build --target sidecar -t recmesh/sidecar .
#
# builds from source. Prebuilt binaries can replace the first stage, as in tests/cluster/images:
#
#   docker build --build-context binaries=DIRECTORY --target sidecar -t recmesh/sidecar .
#
# BASE must provide glibc, libgcc and CA certificates. It needs no shell.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG BUILDER=docker.io/library/rust:1.95-bookworm

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p recommender-operator -p recommender-store -p recommender-sidecar

FROM scratch AS binaries
COPY --from=build /src/target/release/recmesh-operator /src/target/release/recmesh-store /src/target/release/recmesh-sidecar /

FROM ${BASE} AS operator
COPY --from=binaries /recmesh-operator /recmesh-store /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/recmesh-operator"]

FROM ${BASE} AS sidecar
COPY --from=binaries /recmesh-sidecar /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/recmesh-sidecar"]
