// The filters, one connection at a time.
#include "engine/rig.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(echo_answers_and_counts) {
    struct rig rig;
    struct px_listener_spec spec = rig_listener_spec("echo", PX_FILTER_ECHO);
    rig_begin(&rig, 1);
    rig_listener(&rig, &spec, 0);
    rig_serve(&rig, true);
    int fd = tcp_connect(rig_port(&rig, 0));
    expect_echo(fd, "hello");
    ASSERT_EQ(px_engine_connections(rig.engine), 1);
    ASSERT_EQ(rig_value(&rig, "listener.echo.downstream_cx_active"), 1);
    shutdown(fd, SHUT_WR);
    expect_end(fd);
    rig_wait_value(&rig, "listener.echo.downstream_cx_active", 0);
    ASSERT_EQ(rig_value(&rig, "listener.echo.downstream_cx_total"), 1);
    ASSERT_EQ(rig_value(&rig, "listener.echo.downstream_cx_destroy"), 1);
    ASSERT_EQ(rig_value(&rig, "listener.echo.worker_0.downstream_cx_total"), 1);
    close(fd);
    rig_end(&rig);
}

TEST(direct_response_arrives_whole_although_the_client_sends) {
    struct rig rig;
    struct px_listener_spec spec = rig_listener_spec("direct", PX_FILTER_DIRECT_RESPONSE);
    static uint8_t response[3000000], received[sizeof response];
    for (size_t i = 0; i < sizeof response; i++) response[i] = (uint8_t)(i * 31 >> 3);
    spec.response = response;
    spec.response_length = sizeof response;
    rig_begin(&rig, 1);
    rig_listener(&rig, &spec, 0);
    rig_serve(&rig, true);
    int fd = tcp_connect(rig_port(&rig, 0));
    send_all(fd, "unasked", 7);
    receive_all(fd, received, sizeof received);
    ASSERT_MEM(received, response, sizeof response);
    expect_end(fd);
    close(fd);
    rig_wait_value(&rig, "listener.direct.downstream_cx_destroy", 1);
    rig_end(&rig);
}

TEST(relay_passes_bytes_both_ways_and_counts_them) {
    struct rig rig;
    rig_begin(&rig, 1);
    rig_relay(&rig, echo_upstream());
    rig_serve(&rig, true);
    int fd = tcp_connect(rig_port(&rig, 0));
    for (int i = 0; i < 10; i++) expect_echo(fd, "0123456789");
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.downstream_cx_rx_bytes_total"), 100);
    rig_wait_value(&rig, "tcp.tcp.downstream_cx_tx_bytes_total", 100);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_rx_bytes_total"), 100);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_tx_bytes_total"), 100);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_active"), 1);
    close(fd);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_active", 0);
    ASSERT_EQ(rig_value(&rig, "tcp.tcp.downstream_cx_total"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_total"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_active"), 0);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy_remote"), 1);
    rig_end(&rig);
}

TEST(half_close_passes_in_both_directions) {
    struct rig rig;
    uint16_t port = 0;
    int listener = tcp_listen(&port, 16);
    char bytes[16];
    rig_begin(&rig, 1);
    rig_relay(&rig, port);
    rig_serve(&rig, true);
    // The client ends first, the upstream goes on talking.
    int client = tcp_connect(rig_port(&rig, 0)), upstream = tcp_accept(listener);
    send_all(client, "question", 8);
    shutdown(client, SHUT_WR);
    receive_all(upstream, bytes, 8);
    expect_end(upstream);
    send_all(upstream, "answer", 6);
    receive_all(client, bytes, 6);
    close(upstream);
    expect_end(client);
    close(client);
    rig_wait_value(&rig, "tcp.tcp.downstream_cx_rx_bytes_total", 8);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_active", 0);
    // The upstream ends first, the client goes on talking.
    client = tcp_connect(rig_port(&rig, 0));
    upstream = tcp_accept(listener);
    send_all(upstream, "banner", 6);
    shutdown(upstream, SHUT_WR);
    receive_all(client, bytes, 6);
    expect_end(client);
    send_all(client, "thanks", 6);
    receive_all(upstream, bytes, 6);
    close(client);
    expect_end(upstream);
    close(upstream);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_active", 0);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy_local"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy_remote"), 1);
    close(listener);
    rig_end(&rig);
}

// A client that sends its request and its FIN before the upstream connection stands.
TEST(request_and_fin_in_one_go_are_served) {
    struct rig rig;
    char answer[7];
    rig_begin(&rig, 1);
    rig_relay(&rig, echo_upstream());
    rig_serve(&rig, true);
    for (int i = 0; i < 200; i++) {
        int fd = tcp_connect(rig_port(&rig, 0));
        send_all(fd, "at once", 7);
        shutdown(fd, SHUT_WR);
        receive_all(fd, answer, 7);
        expect_end(fd);
        close(fd);
    }
    rig_wait_value(&rig, "listener.tcp.downstream_cx_destroy", 200);
    rig_end(&rig);
}

TEST(resets_pass_in_both_directions) {
    struct rig rig;
    uint16_t port = 0;
    int listener = tcp_listen(&port, 16);
    rig_begin(&rig, 1);
    rig_relay(&rig, port);
    rig_serve(&rig, true);
    int client = tcp_connect(rig_port(&rig, 0)), upstream = tcp_accept(listener);
    close_with_reset(client);
    expect_reset(upstream);
    close(upstream);
    client = tcp_connect(rig_port(&rig, 0));
    upstream = tcp_accept(listener);
    close_with_reset(upstream);
    expect_reset(client);
    close(client);
    rig_wait_value(&rig, "listener.tcp.downstream_cx_destroy", 2);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy_local"), 1);
    ASSERT_EQ(rig_value(&rig, "cluster.up.upstream_cx_destroy_remote"), 1);
    close(listener);
    rig_end(&rig);
}

// What an upstream said before it was cut off still reaches the client.
TEST(bytes_before_a_reset_arrive) {
    struct rig rig;
    uint16_t port = 0;
    char bytes[9];
    int listener = tcp_listen(&port, 16);
    rig_begin(&rig, 1);
    rig_relay(&rig, port);
    rig_serve(&rig, true);
    for (int i = 0; i < 50; i++) {
        int client = tcp_connect(rig_port(&rig, 0)), upstream = tcp_accept(listener);
        send_all(upstream, "last word", 9);
        close_with_reset(upstream);
        receive_all(client, bytes, 9);
        expect_reset(client);
        close(client);
    }
    close(listener);
    rig_end(&rig);
}
