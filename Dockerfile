# One image per service, `console` for the browser, and `tools` for operators; each is a build target. Only base images and crates are downloaded.
# docker-compose.yml builds the images.

FROM rust:1.95.0-slim-trixie AS build
WORKDIR /src
COPY . .
# Cargo's registry and build output stay in the builder's cache, so that a change recompiles only what depends on it.
# Cargo compares modification times, but each checkout sets its own. So a file keeps the cached file's time if its
# content is unchanged, and otherwise gets the current time.
RUN --mount=type=cache,id=order-system-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=order-system-target,target=/cache,sharing=locked \
    find . -type f | while read -r file; do \
      if cmp -s "$file" "/cache/src/$file"; then touch -r "/cache/src/$file" "$file"; else touch "$file"; fi; \
    done \
 && rm -rf /cache/src && cp -a . /cache/src \
 && cargo build --profile dist --locked --target-dir /cache -p order -p inventory -p payment -p order-system \
 && mkdir /out && cd /cache/dist && cp order inventory payment order-system /out/

# The common base of all images: certificates for TLS to a database or a broker, and a numeric user, so that tools can
# see that it is not root without reading /etc/passwd.
FROM debian:trixie-20260202-slim AS runtime
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ARG VERSION=0.1.0
# To be set by those who publish the images: the address of the sources, and the commit.
ARG SOURCE=""
ARG REVISION=""
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
USER 10001:10001
# On this signal, the services finish and publish the work that they have accepted.
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

FROM runtime AS console
LABEL org.opencontainers.image.title="order-system: console"
COPY --from=build /out/order-system /usr/local/bin/order-system
ENV CONSOLE_LISTEN=0.0.0.0:8000
EXPOSE 8000
ENTRYPOINT ["order-system", "console"]

FROM runtime AS tools
LABEL org.opencontainers.image.title="order-system: tools"
COPY --from=build /out/order-system /usr/local/bin/order-system
ENTRYPOINT ["order-system"]
