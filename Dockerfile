# Postrider in a container: one static binary, run as a user without privileges. More in docs/install.md.
#
#   docker build -t postrider .
#   docker run -d --name postrider -p 127.0.0.1:8080:8080 -v postrider:/data postrider
#   docker logs postrider            # the link that creates the owner account
#   docker exec postrider postrider key create --name first --scope admin
#
# With podman or buildah: `podman build --format docker -t postrider .`, because their own format has no HEALTHCHECK.

FROM rust:1.95-bookworm AS build
ARG TARGETARCH
# SQLite and the cryptography are compiled with musl's compiler, so that the binary needs no other file.
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN set -eu; \
    case "$TARGETARCH" in \
        arm64) target=aarch64-unknown-linux-musl ;; \
        *) target=x86_64-unknown-linux-musl ;; \
    esac; \
    rustup target add "$target"; \
    cargo build --release --locked --target "$target"; \
    install -D "target/$target/release/postrider" /out/usr/bin/postrider; \
    install -d -m 0700 /out/data; \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build --chown=0:0 /out/usr /usr
COPY --from=build --chown=0:0 /out/etc /etc
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
# The loopback address of a container cannot be reached from outside; which ports are published decides who can connect.
ENV PATH=/usr/bin POSTRIDER_DATA_DIR=/data POSTRIDER_LISTEN=0.0.0.0:8080 POSTRIDER_LOG__FORMAT=json
VOLUME /data
EXPOSE 8080
# SIGTERM: requests in flight get up to 20 s to finish.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s CMD ["/usr/bin/postrider", "healthcheck"]
ENTRYPOINT ["/usr/bin/postrider"]
CMD ["serve"]
