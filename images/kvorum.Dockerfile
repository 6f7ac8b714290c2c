# The node's image, for whoever has Docker:  docker build -f images/kvorum.Dockerfile -t kvorum .
# Without Docker, `make image` puts the same files together.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    CARGO_TARGET_DIR=/target cargo build --release --locked -p kvorum \
    && mkdir /programs && cp /target/release/kvorum /programs/ \
    && images/stage images/kvorum.files /programs /image

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/kvorum"]
