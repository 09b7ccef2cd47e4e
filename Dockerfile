# syntax=docker/dockerfile:1
# One static binary on nothing: no shell, no package, not root.
#
#   docker build -t entrepot .
#   docker run -p 5000:5000 -v entrepot:/data entrepot

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools
WORKDIR /src
COPY rust-toolchain.toml .
RUN rustup target add "$(uname -m)-unknown-linux-musl"
COPY . .
# Only the C compiler is musl's. As the linker it would make a binary that wants ld-musl.so.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-musl" \
    && env "CC_$(echo "$target" | tr - _)=musl-gcc" cargo build --locked --release --bin entrepot --target "$target" \
    && install -D "target/$target/release/entrepot" /out/entrepot \
    && mkdir /out/data

FROM scratch
COPY --from=build /out/entrepot /entrepot
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
ENV ENTREPOT__SERVER__LISTEN=0.0.0.0:5000 \
    ENTREPOT__STORAGE__PATH=/data
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/entrepot", "healthcheck"]
ENTRYPOINT ["/entrepot"]
CMD ["serve"]
