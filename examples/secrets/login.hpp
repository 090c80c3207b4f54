#pragma once

// Shared by the logins of clouds: metadata servers, which give tokens to the machines of a cloud,
// and the answers of OAuth 2.0 token endpoints.

#include "abi.hpp"
#include "credential.hpp"
#include "http.hpp"
#include "json.hpp"
#include "wipe.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// The error for an answer in a login with an unexpected status. A 4xx is a refusal, `no_credential`:
/// otherwise a refused identity would be taken for a store that is out of reach. 408, 410 and 429 are about
/// the time of the request.
inline store_error login_error(const http_client& http, const http_answer& answer, const std::string& about) {
    const long status = answer.status;
    const bool is_refusal = status >= 400 && status < 500 && status != 408 && status != 410 && status != 429;
    if (!is_refusal) return http.error(answer, about);
    return http.error(reason::no_credential, answer, about,
                      "the login is refused, status " + std::to_string(status));
}

/// The token in the answer of a token endpoint, and its lifetime. Throws store_error.
inline fetched<secret_text> token_in(const http_client& http, const http_answer& answer,
                                     const std::string& about) {
    if (answer.status != 200) throw login_error(http, answer, about);
    const json body = parse_json(answer.body);
    const std::optional<std::string_view> token = text(member(&body, "access_token"));
    if (!token || token->empty() || !is_one_line(*token))
        throw http.error(reason::malformed, about, "no token is in the answer");

    fetched<secret_text> got{.value = secret_text(*token)};
    using std::chrono::seconds;
    const std::optional<std::int64_t> lives = number(member(&body, "expires_in")),
                                      ends = number(member(&body, "expires_on"));
    const auto now = std::chrono::floor<seconds>(std::chrono::system_clock::now()).time_since_epoch();
    if (lives) got.lifetime = seconds(std::max<std::int64_t>(*lives, 0));
    else if (ends) got.lifetime = std::max(seconds(*ends) - now, seconds(0));
    return got;
}

/// Options for the metadata server of a cloud. It is on a local network, without TLS and without a
/// proxy. Outside of the cloud no server answers, so the time limit for a connection is short.
inline http_options metadata_options(const http_options& http) {
    return {.connect_timeout = std::min(http.connect_timeout, std::chrono::milliseconds(500)),
            .timeout = http.timeout,
            .tries = http.tries,
            .first_pause = http.first_pause,
            .plain_http = true,
            .clock = http.clock,
            .chance = http.chance};
}

/// Sends a request to a metadata server. Throws `no_credential` if no server answers.
inline http_answer ask_metadata(const http_client& http, const http_request& request, deadline until) {
    try {
        return http.send(request, until);
    } catch (const store_error& error) {
        const bool is_late = http.options().clock.now() >= until;  // the vault may have taken the time
        if (error.why() != reason::unreachable && (error.why() != reason::timed_out || is_late)) throw;
        http_answer none;
        none.retry_after = std::chrono::seconds(30);  // an attempt takes time: not one for every call
        throw http.error(reason::no_credential, none, request.about,
                         "no server answers, and no other credential is set");
    }
}

}}  // namespace secrets
