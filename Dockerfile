# One image for every processor: `docker build -t boomgate:0.1.0 .`, then `docker run boomgate:0.1.0 run entry`.
# No nats-server is in it: in a cluster, the broker is not a child of whoever uses it.

FROM rust:1.95-trixie AS build
WORKDIR /src
COPY . .
# What the caches keep is gone from the image, so the binary leaves the folder in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package boomgate && cp target/release/boomgate /boomgate

# The same Debian as above, because the binary is linked with its libc.
FROM debian:trixie-slim
LABEL org.opencontainers.image.title="boomgate" org.opencontainers.image.licenses="Apache-2.0"
# The roots that TLS towards NATS trusts; the time zones are in the binary.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /usr/share/doc/boomgate/LICENSE
COPY --from=build /boomgate /usr/local/bin/boomgate
# A number, because Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
WORKDIR /etc/boomgate
EXPOSE 8080
# As an array, so that boomgate is process 1 and SIGTERM reaches it.
ENTRYPOINT ["/usr/local/bin/boomgate"]
CMD ["help"]
