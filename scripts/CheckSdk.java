// What scripts/check-sdk runs: the channels' own libraries against our simulators of the channels.
// Arguments: the folder that `cargo run --package bench --example simulators` has written.

import com.alipay.api.AlipayClient;
import com.alipay.api.AlipayResponse;
import com.alipay.api.DefaultAlipayClient;
import com.alipay.api.internal.util.AlipayLogger;
import com.alipay.api.internal.util.AlipaySignature;
import com.alipay.api.request.AlipayTradeFastpayRefundQueryRequest;
import com.alipay.api.request.AlipayTradePrecreateRequest;
import com.alipay.api.request.AlipayTradeQueryRequest;
import com.alipay.api.request.AlipayTradeRefundRequest;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.wechat.pay.java.core.RSAConfig;
import com.wechat.pay.java.core.exception.ServiceException;
import com.wechat.pay.java.core.http.DefaultHttpClientBuilder;
import com.wechat.pay.java.core.http.HttpClient;
import com.wechat.pay.java.core.http.HttpHeaders;
import com.wechat.pay.java.core.http.JsonRequestBody;
import com.wechat.pay.java.core.http.MediaType;
import com.wechat.pay.java.core.notification.NotificationParser;
import com.wechat.pay.java.core.notification.RSANotificationConfig;
import com.wechat.pay.java.core.notification.RequestParam;
import com.wechat.pay.java.service.payments.model.Transaction;
import com.wechat.pay.java.service.refund.model.Refund;
import com.wechat.pay.java.service.refund.model.RefundNotification;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class CheckSdk {
    static int failed = 0;
    static int passed = 0;

    static void check(String what, boolean holds) {
        System.out.println((holds ? "  ok      " : "  FAILED  ") + what);
        if (holds) passed++; else failed++;
    }

    interface Attempt {
        void run() throws Exception;
    }

    static boolean isRefused(Attempt attempt) {
        try {
            attempt.run();
            return false;
        } catch (Exception refused) {
            return true;
        }
    }

    /** The notifications of a channel that have come so far: a made-up one before each genuine one. */
    static List<JsonObject> heard(Path folder, String channel) throws Exception {
        List<JsonObject> heard = new ArrayList<>();
        for (String line : Files.readAllLines(folder.resolve("notifications.jsonl"))) {
            JsonObject one = JsonParser.parseString(line).getAsJsonObject();
            if (one.get("path").getAsString().equals("/notify/" + channel)) heard.add(one);
        }
        return heard;
    }

    static RequestParam asSent(JsonObject told, String body) {
        JsonObject headers = told.getAsJsonObject("headers");
        return new RequestParam.Builder()
                .serialNumber(headers.get("wechatpay-serial").getAsString())
                .nonce(headers.get("wechatpay-nonce").getAsString())
                .timestamp(headers.get("wechatpay-timestamp").getAsString())
                .signature(headers.get("wechatpay-signature").getAsString())
                .signType(headers.get("wechatpay-signature-type").getAsString())
                .body(body)
                .build();
    }

    static void wechat(Path folder, JsonObject at) throws Exception {
        JsonObject keys = at.getAsJsonObject("keys");
        String certificate = keys.get("platform").getAsString();
        String base = at.get("base_url").getAsString();
        NotificationParser parser = new NotificationParser(
                new RSANotificationConfig.Builder().certificates(certificate).apiV3Key(keys.get("api_v3").getAsString()).build());
        List<JsonObject> heard = heard(folder, "wechat");
        String body = heard.get(1).get("body").getAsString();
        Transaction paid = parser.parse(asSent(heard.get(1), body), Transaction.class);
        check("a payment's notification is verified and opened", paid.getTradeState() == Transaction.TradeStateEnum.SUCCESS
                && paid.getOutTradeNo().equals("paidattempt1") && paid.getAmount().getTotal() == 500);
        check("a changed one is refused", isRefused(() -> parser.parse(asSent(heard.get(1), body.replace("TRANSACTION", "TRANSACTIOM")), Transaction.class)));
        check("a made-up one is refused", isRefused(() -> parser.parse(asSent(heard.get(0), heard.get(0).get("body").getAsString()), Transaction.class)));

        RSAConfig config = new RSAConfig.Builder()
                .merchantId(at.get("merchant").getAsString())
                .privateKey(keys.get("merchant").getAsString())
                .merchantSerialNumber(at.get("serial").getAsString())
                .wechatPayCertificates(certificate)
                .build();
        HttpClient client = new DefaultHttpClientBuilder().config(config).build();
        HttpHeaders headers = new HttpHeaders();
        headers.addHeader("Accept", MediaType.APPLICATION_JSON.getValue());
        headers.addHeader("Content-Type", MediaType.APPLICATION_JSON.getValue());
        String notify = at.get("notify_url").getAsString() + "/wechat";
        String order = "{\"appid\":\"" + at.get("app").getAsString() + "\",\"mchid\":\"" + at.get("merchant").getAsString()
                + "\",\"description\":\"停车费\",\"out_trade_no\":\"openedattempt1\",\"notify_url\":\"" + notify + "\",\"amount\":{\"total\":500,\"currency\":\"CNY\"}}";
        Map<?, ?> opened = client.post(headers, base + "/v3/pay/transactions/native", new JsonRequestBody.Builder().body(order).build(), Map.class).getServiceResponse();
        check("its request is taken and the signed answer verified: code_url", String.valueOf(opened.get("code_url")).startsWith("weixin://"));
        Transaction asked = client.get(headers, base + "/v3/pay/transactions/out-trade-no/openedattempt1?mchid=" + at.get("merchant").getAsString(), Transaction.class).getServiceResponse();
        check("what is opened is not paid", asked.getTradeState() == Transaction.TradeStateEnum.NOTPAY);
        boolean unknown = false;
        try {
            client.get(headers, base + "/v3/pay/transactions/out-trade-no/nobody?mchid=1", Transaction.class);
        } catch (ServiceException refused) {
            unknown = refused.getHttpStatusCode() == 404 && refused.getErrorCode().equals("ORDER_NOT_EXIST");
        }
        check("an unknown number is a 404 that it understands", unknown);
        String back = "{\"out_trade_no\":\"paidattempt1\",\"out_refund_no\":\"refund1\",\"notify_url\":\"" + notify + "\",\"amount\":{\"refund\":200,\"total\":500,\"currency\":\"CNY\"}}";
        Refund refund = client.post(headers, base + "/v3/refund/domestic/refunds", new JsonRequestBody.Builder().body(back).build(), Refund.class).getServiceResponse();
        check("a refund is taken on", refund.getOutRefundNo().equals("refund1") && refund.getStatus().name().equals("PROCESSING"));
        for (int tries = 0; heard(folder, "wechat").size() < 4 && tries < 100; tries++) Thread.sleep(50);
        JsonObject told = heard(folder, "wechat").get(3);
        RefundNotification done = parser.parse(asSent(told, told.get("body").getAsString()), RefundNotification.class);
        check("the refund's notification is verified and opened", done.getRefundStatus().name().equals("SUCCESS") && done.getAmount().getRefund() == 200);
        Refund after = client.get(headers, base + "/v3/refund/domestic/refunds/refund1", Refund.class).getServiceResponse();
        check("the refund stands as it was told", after.getStatus().name().equals("SUCCESS"));
    }

    static Map<String, String> form(String body) {
        Map<String, String> form = new HashMap<>();
        for (String pair : body.split("&")) {
            String[] parts = pair.split("=", 2);
            form.put(URLDecoder.decode(parts[0], StandardCharsets.UTF_8), URLDecoder.decode(parts[1], StandardCharsets.UTF_8));
        }
        return form;
    }

    static String bare(String pem) {
        return pem.replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
    }

    static boolean isDone(AlipayResponse response) {
        return "10000".equals(response.getCode());
    }

    static void alipay(Path folder, JsonObject at) throws Exception {
        JsonObject keys = at.getAsJsonObject("keys");
        String theirs = bare(keys.get("alipay").getAsString());
        List<JsonObject> heard = heard(folder, "alipay");
        String body = heard.get(1).get("body").getAsString();
        Map<String, String> paid = form(body);
        check("a payment's notification is verified", AlipaySignature.rsaCheckV1(form(body), theirs, "UTF-8", "RSA2")
                && paid.get("trade_status").equals("TRADE_SUCCESS") && paid.get("total_amount").equals("5.00"));
        check("a changed one is refused", !AlipaySignature.rsaCheckV1(form(body.replace("total_amount=5.00", "total_amount=0.01")), theirs, "UTF-8", "RSA2"));
        check("a made-up one is refused", !AlipaySignature.rsaCheckV1(form(heard.get(0).get("body").getAsString()), theirs, "UTF-8", "RSA2"));

        AlipayClient client = new DefaultAlipayClient(at.get("base_url").getAsString() + "/gateway.do", at.get("app").getAsString(),
                bare(keys.get("merchant").getAsString()), "json", "UTF-8", theirs, "RSA2");
        AlipayTradePrecreateRequest open = new AlipayTradePrecreateRequest();
        open.setNotifyUrl(at.get("notify_url").getAsString() + "/alipay");
        open.setBizContent("{\"out_trade_no\":\"openedattempt1\",\"total_amount\":\"5.00\",\"subject\":\"停车费\"}");
        check("its request is taken and the signed answer verified: qr_code", client.execute(open).getQrCode().startsWith("https://qr.alipay.com/"));
        AlipayTradeQueryRequest query = new AlipayTradeQueryRequest();
        query.setBizContent("{\"out_trade_no\":\"openedattempt1\"}");
        check("nothing is known of a code that nobody has scanned", "ACQ.TRADE_NOT_EXIST".equals(client.execute(query).getSubCode()));
        query.setBizContent("{\"out_trade_no\":\"paidattempt1\"}");
        check("what is paid is found so", "TRADE_SUCCESS".equals(client.execute(query).getTradeStatus()));
        AlipayTradeRefundRequest refund = new AlipayTradeRefundRequest();
        refund.setBizContent("{\"out_trade_no\":\"paidattempt1\",\"refund_amount\":\"2.00\",\"out_request_no\":\"refund1\"}");
        check("a refund moves money once", isDone(client.execute(refund)) && "N".equals(client.execute(refund).getFundChange()));
        AlipayTradeFastpayRefundQueryRequest asked = new AlipayTradeFastpayRefundQueryRequest();
        asked.setBizContent("{\"out_trade_no\":\"paidattempt1\",\"out_request_no\":\"refund1\"}");
        check("and is found so", "REFUND_SUCCESS".equals(client.execute(asked).getRefundStatus()));
        AlipayClient stranger = new DefaultAlipayClient(at.get("base_url").getAsString() + "/gateway.do", "2021000000000000",
                bare(keys.get("merchant").getAsString()), "json", "UTF-8", theirs, "RSA2");
        check("another application is refused", !isDone(stranger.execute(query)));
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        JsonObject access = JsonParser.parseString(Files.readString(folder.resolve("access.json"))).getAsJsonObject();
        // It would write down every call.
        AlipayLogger.setNeedEnableLogger(false);
        System.out.println("WeChat Pay, by wechatpay-java:");
        wechat(folder, access.getAsJsonObject("wechat"));
        System.out.println("Alipay, by alipay-sdk-java:");
        alipay(folder, access.getAsJsonObject("alipay"));
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
