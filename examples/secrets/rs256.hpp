#pragma once

// Signs a text with an RSA key, for a JSON Web Token. Needs OpenSSL's libcrypto: build with
// SECRETS_WITH_LIBCRYPTO, and link libcrypto. Otherwise `has_rs256` is false.

#include "abi.hpp"
#include "wipe.hpp"

#ifdef SECRETS_WITH_LIBCRYPTO
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#endif

#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <vector>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

#ifdef SECRETS_WITH_LIBCRYPTO
inline constexpr bool has_rs256 = true;

/// The RS256 signature of the text with a private key (PEM); std::nullopt if that is not an RSA
/// key, or has a password.
inline std::optional<secret_text> rs256(std::string_view text, std::string_view pem) {
    const auto no_password = [](char*, int, int, void*) { return -1; };  // not a prompt on the terminal
    const std::unique_ptr<BIO, int (*)(BIO*)> file(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
    if (!file) throw std::bad_alloc();
    const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
        PEM_read_bio_PrivateKey(file.get(), nullptr, no_password, nullptr), EVP_PKEY_free);
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> signer(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    if (!signer) throw std::bad_alloc();
    const auto bytes = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t size = 0;
    std::vector<char, wiping_allocator<char>> signature;
    bool is_signed = key && EVP_PKEY_base_id(key.get()) == EVP_PKEY_RSA &&
                     EVP_DigestSignInit(signer.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
                     EVP_DigestSign(signer.get(), nullptr, &size, bytes, text.size()) == 1;
    signature.resize(size);
    const auto to = reinterpret_cast<unsigned char*>(signature.data());
    is_signed = is_signed && EVP_DigestSign(signer.get(), to, &size, bytes, text.size()) == 1;
    ERR_clear_error();  // the thread's list of errors is shared with other code
    if (!is_signed) return std::nullopt;
    return secret_text({signature.data(), size});
}
#else
inline constexpr bool has_rs256 = false;
inline std::optional<secret_text> rs256(std::string_view, std::string_view) { return std::nullopt; }
#endif

}}  // namespace secrets
