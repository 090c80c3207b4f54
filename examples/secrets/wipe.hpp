#pragma once

// Memory that held a secret is overwritten before it is freed.

#include "abi.hpp"

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace secrets { inline namespace v1 SECRETS_HIDDEN {

/// Overwrites memory that held a secret. The compiler cannot remove this, although the memory is
/// not read again.
inline void wipe(char* memory, std::size_t size) noexcept {
    volatile char* const bytes = memory;
    for (std::size_t i = 0; i < size; ++i) bytes[i] = 0;
}

/// Overwrites memory before it is freed. A std::string stores short texts in itself, which no
/// allocator can overwrite: use secret_text for a secret.
template <class T>
struct SECRETS_VISIBLE wiping_allocator : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = wiping_allocator<U>;
    };
    wiping_allocator() = default;
    template <class U>
    wiping_allocator(const wiping_allocator<U>&) noexcept {}
    SECRETS_HIDDEN void deallocate(T* memory, std::size_t count) noexcept {
        wipe(reinterpret_cast<char*>(memory), count * sizeof(T));
        std::allocator<T>::deallocate(memory, count);
    }
};

/// A text that is wiped, even a short one. It converts to std::string_view. A copy made from that
/// is not wiped.
class SECRETS_VISIBLE secret_text {
public:
    secret_text() = default;
    SECRETS_HIDDEN explicit secret_text(std::string_view text) : text_(text.begin(), text.end()) {}

    SECRETS_HIDDEN secret_text& operator+=(std::string_view more) {
        text_.insert(text_.end(), more.begin(), more.end());
        return *this;
    }
    SECRETS_HIDDEN secret_text& operator+=(char more) { return *this += std::string_view(&more, 1); }

    SECRETS_HIDDEN std::string_view view() const noexcept { return {text_.data(), text_.size()}; }
    SECRETS_HIDDEN operator std::string_view() const noexcept { return view(); }
    SECRETS_HIDDEN std::size_t size() const noexcept { return text_.size(); }
    SECRETS_HIDDEN bool empty() const noexcept { return text_.empty(); }

    /// For C functions. The text does not change.
    SECRETS_HIDDEN const char* c_str() {
        text_.push_back('\0');
        text_.pop_back();
        return text_.data();
    }

    friend bool operator==(const secret_text& one, const secret_text& other) = default;
    friend bool operator==(const secret_text& one, std::string_view other) { return one.view() == other; }

private:
    std::vector<char, wiping_allocator<char>> text_;
};

/// The contents of the file; std::nullopt if it cannot be read. (A std::ifstream of libc++ treats an error as
/// the end of the file.)
inline std::optional<secret_text> text_of_file(const std::filesystem::path& file) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.string().c_str(), "rb"),
                                                                 std::fclose);
    if (!stream) return std::nullopt;
    std::setvbuf(stream.get(), nullptr, _IONBF, 0);  // otherwise its own buffer would not be wiped
    std::vector<char, wiping_allocator<char>> buffer(4096);
    secret_text text;
    while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), stream.get()))
        text += std::string_view(buffer.data(), size);
    if (std::ferror(stream.get())) return std::nullopt;
    return text;
}

}}  // namespace secrets
