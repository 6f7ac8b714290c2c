//! An image archive: one layer with its configuration and manifest, in the layout of the Open Container Initiative and,
//! in the same file, Docker's older description, so that `ctr`, `kind`, `docker load` and `crane` all read it.

use super::layer::Tar;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What goes into an archive.
#[derive(Debug)]
pub struct Archive<'a> {
    /// The image's full name with its tag.
    pub reference: &'a str,
    /// What it runs.
    pub entrypoint: &'a str,
    /// As whom, by number.
    pub user: &'a str,
    /// Its only layer, an uncompressed tar archive.
    pub layer: &'a [u8],
}

/// A finished archive.
#[derive(Debug)]
pub struct Built {
    /// The file's content.
    pub bytes: Vec<u8>,
    /// The digest of the image's manifest, by which a node knows the image.
    pub digest: String,
}

/// Puts an archive together.
pub fn build(archive: &Archive<'_>) -> Built {
    let layer = digest(archive.layer);
    let config = text(&json!({
        "architecture": architecture(), "os": "linux",
        "config": {
            "User": archive.user, "Entrypoint": [archive.entrypoint], "WorkingDir": "/",
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    }));
    let manifest = text(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", archive.layer)],
    }));
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    let (_, tag) = archive
        .reference
        .rsplit_once(':')
        .unwrap_or((archive.reference, "latest"));
    entry["annotations"] =
        json!({"io.containerd.image.name": archive.reference, "org.opencontainers.image.ref.name": tag});
    let index = text(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry],
    }));
    let old = text(&json!([{
        "Config": blob(&digest(&config)), "RepoTags": [archive.reference], "Layers": [blob(&layer)],
    }]));
    let mut tar = Tar::default();
    let files: [(&str, &[u8]); 6] = [
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", &index),
        ("manifest.json", &old),
        (&blob(&digest(&manifest)), &manifest),
        (&blob(&digest(&config)), &config),
        (&blob(&layer), archive.layer),
    ];
    for (name, content) in files {
        tar.file(name, 0o644, content).expect("the names of blobs are short");
    }
    Built {
        bytes: tar.finish(),
        digest: digest(&manifest),
    }
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// This machine's architecture in Go's words, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let archive = Archive {
            reference: "r.example/a:1",
            entrypoint: "/a",
            user: "1:1",
            layer: b"layer",
        };
        let (one, two) = (build(&archive), build(&archive));
        assert_eq!(one.digest, two.digest);
        assert_eq!(one.bytes, two.bytes);
    }
}
