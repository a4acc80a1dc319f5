FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
# A single static binary.
ENV RUSTFLAGS="-C target-feature=+crt-static"
# Naming the target keeps these flags away from build scripts and procedural macros, which cannot be static.
RUN rustc --print host-tuple > /target-name
# Build the dependencies first: they change less often than our own code, so the layer stays cached.
COPY Cargo.toml Cargo.lock ./
# Cargo.toml names files in these folders, and cargo does not build without them.
COPY benches benches
COPY crates crates
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked --target "$(cat /target-name)"
# The build context has no git history: `--build-arg REVISION=$(git rev-parse HEAD)`.
ARG REVISION=unknown
ARG BRANCH=unknown
ENV CXONE_EXPORTER_REVISION=$REVISION CXONE_EXPORTER_BRANCH=$BRANCH
COPY build.rs ./
COPY src src
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --target "$(cat /target-name)" \
    && install -D "target/$(cat /target-name)/release/cxone-exporter" /image/cxone-exporter \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
    && install -d -m 700 /volumes/data

FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cxone-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the agent states of a NICE CXone contact centre" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.authors="The cxone-exporter developers"
COPY --from=build /image /
# A new volume copies this folder and its owner. The store contains agents' ids, so nobody else may read it.
COPY --from=build --chown=65532:65532 /volumes /
VOLUME /data
USER 65532:65532
EXPOSE 10962
# The image has no shell and no curl, so the binary checks itself.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/cxone-exporter", "check", "--healthy"]
ENTRYPOINT ["/cxone-exporter"]
CMD ["serve", "--storage.path=/data"]
