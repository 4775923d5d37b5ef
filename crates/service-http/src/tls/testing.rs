use std::{fs, path::Path};

use certificates::{Authority, Certificate};

use super::CertificateFiles;

/// Returns an authority of a test.
pub(crate) fn authority() -> Authority {
    Authority::create("an authority of the tests", 1).unwrap()
}

/// Writes the files of a certificate. As a careful operator does it: a reader never finds a half of a file.
pub(crate) fn write(folder: &Path, certificate: &Certificate) -> CertificateFiles {
    let files = CertificateFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    for (path, content) in [(&files.certificate, &certificate.chain), (&files.key, &certificate.key)] {
        let new = path.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, path).unwrap();
    }
    files
}
