/* The floor: receive, hash and write one object over http with as little work as possible.
 *
 *     floor HOST PORT PATH FILE SHA256
 *
 * Three threads over a ring of page-aligned buffers: one receives, one hashes (OpenSSL), one writes
 * (past the page cache if the file system supports O_DIRECT). The exit status is 0 when the file is
 * durable and has the SHA-256 of the argument.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (1024 * 1024)
#define PAGE 4096
#define RING 4

static unsigned char *buffers[RING];
static size_t lengths[RING];
static unsigned long filled, hashed, written;
static int is_over;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static EVP_MD_CTX *digest;
static int file;

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Wait for the next filled buffer after the first `done`; -1 at the end of the body. */
static int next_full(unsigned long done) {
    pthread_mutex_lock(&lock);
    while (filled == done && !is_over)
        pthread_cond_wait(&moved, &lock);
    int slot = filled == done ? -1 : (int)(done % RING);
    pthread_mutex_unlock(&lock);
    return slot;
}

static void step(unsigned long *counter) {
    pthread_mutex_lock(&lock);
    ++*counter;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

static void *hash_all(void *unused) {
    for (int slot; (slot = next_full(hashed)) >= 0; step(&hashed))
        EVP_DigestUpdate(digest, buffers[slot], lengths[slot]);
    return unused;
}

static void *write_all(void *unused) {
    for (int slot; (slot = next_full(written)) >= 0; step(&written)) {
        /* O_DIRECT writes whole pages: the last block is padded, and the file truncated at the end. */
        size_t want = (lengths[slot] + PAGE - 1) / PAGE * PAGE;
        if (write(file, buffers[slot], want) != (ssize_t)want)
            die("write");
    }
    return unused;
}

static int connected(const char *host, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    int line = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
        connect(line, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    return line;
}

/* Send the request and read the head; bytes of the body go to the first buffer, `got` counts them.
 * Gives the length of the body. */
static long long head(int line, const char *path, size_t *got) {
    char text[16384];
    int size = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: floor\r\n\r\n", path);
    if (send(line, text, size, 0) != size)
        die("send");
    char *end = NULL;
    size_t have = 0;
    while (end == NULL) {
        ssize_t count = recv(line, text + have, sizeof text - 1 - have, 0);
        if (count <= 0)
            die("head");
        text[have += count] = 0;
        end = strstr(text, "\r\n\r\n");
    }
    char *field = strcasestr(text, "\r\nContent-Length:");
    if (strncmp(text, "HTTP/1.1 200", 12) != 0 || field == NULL || field > end)
        die("not a 200 with a length");
    *got = have - (end + 4 - text);
    memcpy(buffers[0], end + 4, *got);
    return atoll(field + 17);
}

static void receive_all(int line, const char *path, long long *total) {
    size_t got;
    *total = head(line, path, &got);
    for (long long left = *total; left > 0; step(&filled)) {
        pthread_mutex_lock(&lock);
        while (filled - (hashed < written ? hashed : written) == RING)
            pthread_cond_wait(&moved, &lock);
        pthread_mutex_unlock(&lock);
        int slot = filled % RING;
        size_t want = left < SIZE ? (size_t)left : SIZE;
        while (got < want) {
            ssize_t count = recv(line, buffers[slot] + got, want - got, 0);
            if (count <= 0)
                die("recv");
            got += count;
        }
        lengths[slot] = want;
        left -= want;
        got = 0;
    }
    pthread_mutex_lock(&lock);
    is_over = 1;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

int main(int count, char **words) {
    if (count != 6)
        return 2;
    int flags = O_WRONLY | O_CREAT | O_TRUNC;
    if ((file = open(words[4], flags | O_DIRECT, 0600)) < 0 && (file = open(words[4], flags, 0600)) < 0)
        die("open");
    for (int slot = 0; slot < RING; slot++)
        if (posix_memalign((void **)&buffers[slot], PAGE, SIZE) != 0)
            die("memory");
    digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    int line = connected(words[1], words[2]);
    pthread_t hasher, writer;
    if (pthread_create(&hasher, NULL, hash_all, NULL) != 0 || pthread_create(&writer, NULL, write_all, NULL) != 0)
        die("threads");
    long long total;
    receive_all(line, words[3], &total);
    pthread_join(hasher, NULL);
    pthread_join(writer, NULL);
    if (ftruncate(file, total) != 0 || fsync(file) != 0)
        die("fsync");
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size;
    char text[2 * EVP_MAX_MD_SIZE + 1];
    EVP_DigestFinal_ex(digest, bytes, &size);
    for (unsigned int i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    if (strcmp(text, words[5]) != 0) {
        fprintf(stderr, "floor: the SHA-256 is %s\n", text);
        return 1;
    }
    return 0;
}
