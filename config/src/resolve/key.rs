//! Private keys out of their files, encrypted ones too.
//!
//! Decides what counts as a key and whether the password of `SSL` opens it: PKCS #8 with PBES2 (RFC 8018), and the older
//! form of OpenSSL, whose head names a cipher (RFC 1421 section 4.6). Runs in the config worker, which is ended when a
//! file asks for too much work. Contents are the operator's.

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::model::tls::Secret;

/// Why a file gives no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyProblem {
    /// Nothing that is known as a private key.
    #[error("holds no private key that can be read")]
    NoKey,
    /// It needs a password and there is none.
    #[error("is encrypted, and SSL has no password")]
    Locked,
    /// Another key comes out than went in, or none.
    #[error("is not opened by the password of SSL")]
    WrongPassword,
    /// Encrypted by an algorithm that isn't known here.
    #[error("is encrypted in a way that is not known")]
    UnknownCipher,
}

/// The first key of a file in PEM. A password that isn't needed says nothing.
pub(super) fn open(text: &[u8], password: Option<&str>) -> Result<Secret, KeyProblem> {
    let text = String::from_utf8_lossy(text);
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        return open_pkcs8(&text, password.ok_or(KeyProblem::Locked)?);
    }
    match text.lines().find_map(|line| line.strip_prefix("DEK-Info:")) {
        Some(head) => open_headed(&text, head.trim(), password.ok_or(KeyProblem::Locked)?),
        None => in_pem(&text),
    }
}

fn open_pkcs8(text: &str, password: &str) -> Result<Secret, KeyProblem> {
    // The reader of PEM knows no encrypted keys; what stands between the lines is bytes to it either way.
    let sealed = in_pem(&text.replace("ENCRYPTED PRIVATE KEY", "PRIVATE KEY"))?;
    let sealed =
        EncryptedPrivateKeyInfoRef::try_from(bytes(&sealed)).map_err(|_| KeyProblem::UnknownCipher)?;
    match sealed.decrypt(password) {
        Ok(opened) => Ok(Secret::Pkcs8(opened.as_bytes().to_vec())),
        Err(pkcs8::Error::EncryptedPrivateKey(error)) if error != pkcs8::pkcs5::Error::DecryptFailed => {
            Err(KeyProblem::UnknownCipher)
        }
        Err(_) => Err(KeyProblem::WrongPassword),
    }
}

/// `head` is cipher and initial vector: `AES-256-CBC,` and hexadecimal digits.
fn open_headed(text: &str, head: &str, password: &str) -> Result<Secret, KeyProblem> {
    let (cipher, digits) = head.split_once(',').ok_or(KeyProblem::UnknownCipher)?;
    let iv = from_hex(digits).ok_or(KeyProblem::UnknownCipher)?;
    // Lines of a head have a colon, those of a key don't.
    let body: Vec<&str> = text.lines().filter(|line| !line.contains(':')).collect();
    let sealed = in_pem(&body.join("\n"))?;
    let decrypt = match cipher {
        "AES-128-CBC" => decrypt::<Aes128>,
        "AES-192-CBC" => decrypt::<Aes192>,
        "AES-256-CBC" => decrypt::<Aes256>,
        "DES-EDE3-CBC" => decrypt::<TdesEde3>,
        _ => return Err(KeyProblem::UnknownCipher),
    };
    let opened = decrypt(bytes(&sealed), password, &iv)?;
    let opened = opened.as_bytes().to_vec();
    Ok(match sealed {
        Secret::Pkcs1(_) => Secret::Pkcs1(opened),
        Secret::Sec1(_) => Secret::Sec1(opened),
        Secret::Pkcs8(_) => Secret::Pkcs8(opened),
    })
}

fn decrypt<C>(sealed: &[u8], password: &str, iv: &[u8]) -> Result<SecretDocument, KeyProblem>
where
    C: BlockCipherDecrypt + KeyInit,
    Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let key = derived(password, iv, C::key_size());
    let cipher = Decryptor::<C>::new_from_slices(&key, iv).map_err(|_| KeyProblem::UnknownCipher)?;
    let mut opened = sealed.to_vec();
    let length = cipher.decrypt_padded::<Pkcs7>(&mut opened).map_err(|_| KeyProblem::WrongPassword)?.len();
    opened.truncate(length);
    // The padding alone is right for one wrong password of 256.
    SecretDocument::try_from(opened).map_err(|_| KeyProblem::WrongPassword)
}

/// The key that OpenSSL makes of a password here: MD5 over the last digest, the password and the salt, once.
fn derived(password: &str, iv: &[u8], length: usize) -> Vec<u8> {
    let salt = iv.get(..8).unwrap_or(iv);
    let mut key: Vec<u8> = Vec::with_capacity(length);
    let mut last = Vec::new();
    while key.len() < length {
        last = Md5::new().chain_update(&last).chain_update(password).chain_update(salt).finalize().to_vec();
        key.extend(&last);
    }
    key.truncate(length);
    key
}

fn in_pem(text: &str) -> Result<Secret, KeyProblem> {
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(der)) => Ok(Secret::Pkcs1(der.secret_pkcs1_der().to_vec())),
        Ok(PrivateKeyDer::Sec1(der)) => Ok(Secret::Sec1(der.secret_sec1_der().to_vec())),
        Ok(PrivateKeyDer::Pkcs8(der)) => Ok(Secret::Pkcs8(der.secret_pkcs8_der().to_vec())),
        Ok(_) | Err(_) => Err(KeyProblem::NoKey),
    }
}

fn bytes(secret: &Secret) -> &[u8] {
    match secret {
        Secret::Pkcs1(der) | Secret::Sec1(der) | Secret::Pkcs8(der) => der,
    }
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = include_bytes!("../../tests/keys/plain.pem");
    const OLD_PLAIN: &[u8] = include_bytes!("../../tests/keys/old_plain.pem");

    #[test]
    fn a_password_opens_pkcs8_of_every_usual_algorithm() {
        let files = [
            include_bytes!("../../tests/keys/aes128.pem").as_slice(),
            include_bytes!("../../tests/keys/aes192.pem"),
            include_bytes!("../../tests/keys/aes256.pem"),
            include_bytes!("../../tests/keys/sha1.pem"),
            include_bytes!("../../tests/keys/des3.pem"),
            include_bytes!("../../tests/keys/scrypt.pem"),
        ];
        let plain = open(PLAIN, None).unwrap();
        assert!(matches!(plain, Secret::Pkcs8(_)));
        for file in files {
            assert_eq!(open(file, Some("secret")).unwrap(), plain);
            assert_eq!(open(file, Some("Secret")), Err(KeyProblem::WrongPassword));
            assert_eq!(open(file, None), Err(KeyProblem::Locked));
        }
    }

    #[test]
    fn a_password_opens_the_older_form() {
        let files = [
            include_bytes!("../../tests/keys/old_aes128.pem").as_slice(),
            include_bytes!("../../tests/keys/old_aes192.pem"),
            include_bytes!("../../tests/keys/old_aes256.pem"),
            include_bytes!("../../tests/keys/old_des3.pem"),
        ];
        let plain = open(OLD_PLAIN, None).unwrap();
        assert!(matches!(plain, Secret::Sec1(_)));
        for file in files {
            assert_eq!(open(file, Some("secret")).unwrap(), plain);
            assert_eq!(open(file, Some("Secret")), Err(KeyProblem::WrongPassword));
            assert_eq!(open(file, None), Err(KeyProblem::Locked));
        }
    }

    #[test]
    fn a_password_for_a_key_without_one_says_nothing() {
        assert_eq!(open(PLAIN, Some("secret")), open(PLAIN, None));
        assert_eq!(open(b"nothing", Some("secret")), Err(KeyProblem::NoKey));
    }

    #[test]
    fn other_algorithms_are_named_as_such() {
        let old = include_bytes!("../../tests/keys/pbes1.pem");
        assert_eq!(open(old, Some("secret")), Err(KeyProblem::UnknownCipher));
        for head in ["RC2-40-CBC,0011", "AES-256-CBC", "AES-256-CBC,zz", "AES-256-CBC,00"] {
            let text = String::from_utf8_lossy(include_bytes!("../../tests/keys/old_aes256.pem"));
            let other: Vec<&str> = text.lines().filter(|line| !line.starts_with("DEK")).collect();
            let text = other.join("\n").replace("4,ENCRYPTED", &format!("4,ENCRYPTED\nDEK-Info: {head}"));
            assert_eq!(open(text.as_bytes(), Some("secret")), Err(KeyProblem::UnknownCipher), "{head}");
        }
    }
}
