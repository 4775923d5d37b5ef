# The images of the three services, a target each, and `tools` for operators. Nothing is downloaded but the base images
# and crates; docker-compose.yml builds them.

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
# The crates and what was compiled stay in the engine's cache, so that a changed line compiles what depends on it only. Cargo goes
# by the times of the files, which mean nothing here: each checkout has its own. So a file keeps its time as long as it
# has the content that the cache has seen last, and is new otherwise.
RUN --mount=type=cache,id=order-system-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=order-system-target,target=/cache,sharing=locked \
    find . -type f | while read -r file; do \
      if cmp -s "$file" "/cache/src/$file"; then touch -r "/cache/src/$file" "$file"; else touch "$file"; fi; \
    done \
 && rm -rf /cache/src && cp -a . /cache/src \
 && cargo build --profile dist --locked --target-dir /cache -p order -p inventory -p payment -p order-system \
 && mkdir /out && cd /cache/dist && cp order inventory payment order-system /out/

# What the images share: certificates for TLS to a database or a broker, and a user with a number, so that "not root" can be
# seen without looking into /etc/passwd.
FROM debian:trixie-slim AS runtime
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ARG VERSION=0.1.0
# Whoever publishes images says where the sources are, and which commit it was.
ARG SOURCE=""
ARG REVISION=""
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
USER 10001:10001
# The services finish what they took, and publish it, when they get this.
STOPSIGNAL SIGTERM

FROM runtime AS order
LABEL org.opencontainers.image.title="order-system: order"
COPY --from=build /out/order /usr/local/bin/order
ENV LISTEN=0.0.0.0:8001
EXPOSE 8001
ENTRYPOINT ["order"]

FROM runtime AS inventory
LABEL org.opencontainers.image.title="order-system: inventory"
COPY --from=build /out/inventory /usr/local/bin/inventory
ENV LISTEN=0.0.0.0:8002
EXPOSE 8002
ENTRYPOINT ["inventory"]

FROM runtime AS payment
LABEL org.opencontainers.image.title="order-system: payment"
COPY --from=build /out/payment /usr/local/bin/payment
ENV LISTEN=0.0.0.0:8003
EXPOSE 8003
ENTRYPOINT ["payment"]

FROM runtime AS tools
LABEL org.opencontainers.image.title="order-system: tools"
COPY --from=build /out/order-system /usr/local/bin/order-system
ENTRYPOINT ["order-system"]
