#pragma once

// Shared by the logins of clouds: metadata servers, which give tokens to the machines of a cloud,
// and the answers of OAuth 2.0 token endpoints.

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

namespace secrets {

/// The token in the answer of a token endpoint, and its lifetime. Throws store_error, with the
/// reason `no_credential` if the login is refused.
inline fetched<secret_text> token_in(const http_client& http, const http_answer& answer, const std::string& about) {
    if (answer.status == 400 || answer.status == 401 || answer.status == 403)
        throw http.error(reason::no_credential, answer, about, "the login is refused, status " + std::to_string(answer.status));
    if (answer.status != 200) throw http.error(answer, about);
    const json body = parse_json(answer.body);
    const std::optional<std::string_view> token = text(member(&body, "access_token"));
    if (!token || token->empty() || !is_one_line(*token))
        throw http.error(reason::malformed, about, "no token is in the answer");

    fetched<secret_text> got{.value = secret_text(*token)};
    using std::chrono::seconds;
    const std::optional<std::int64_t> lives = number(member(&body, "expires_in")), ends = number(member(&body, "expires_on"));
    const auto now = std::chrono::floor<seconds>(std::chrono::system_clock::now()).time_since_epoch();
    if (lives) got.lifetime = seconds(std::max<std::int64_t>(*lives, 0));
    else if (ends) got.lifetime = std::max(seconds(*ends) - now, seconds(0));
    return got;
}

/// Options for the metadata server of a cloud. It is on a local network, without TLS. Outside of
/// the cloud nothing answers, so the time limit for a connection is short.
inline http_options metadata_options(const http_options& http) {
    return {.connect_timeout = std::min(http.connect_timeout, std::chrono::milliseconds(500)),
            .timeout = http.timeout,
            .tries = http.tries,
            .first_pause = http.first_pause,
            .plain_http = true,
            .clock = http.clock,
            .chance = http.chance};
}

/// Sends a request to a metadata server. Throws `no_credential` if nothing answers.
inline http_answer ask_metadata(const http_client& http, const http_request& request) {
    try {
        return http.send(request);
    } catch (const store_error& error) {
        if (error.why() != reason::unreachable && error.why() != reason::timed_out) throw;
        http_answer none;
        none.retry_after = std::chrono::seconds(30);  // the attempt takes time: do not repeat it in every call
        throw http.error(reason::no_credential, none, request.about, "nobody answers, and no other credential is set");
    }
}

}  // namespace secrets
