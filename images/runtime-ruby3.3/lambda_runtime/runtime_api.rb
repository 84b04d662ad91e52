# frozen_string_literal: true

require 'json'
require 'net/http'

module LambdaRuntime
  # An event that was taken, and what was said of it.
  class Invocation
    def initialize(answer)
      @answer = answer
    end

    def header(name)
      @answer["Lambda-Runtime-#{name}"]
    end

    def request_id
      header('Aws-Request-Id')
    end

    def trace_id
      header('Trace-Id')
    end

    # Raises JSON::ParserError for what is no JSON.
    def event
      return @answer.body unless @answer.content_type == 'application/json'

      JSON.parse(@answer.body)
    end
  end

  # Lambda's Runtime API (2018-06-01) over one connection that stays open.
  class RuntimeApi
    ERROR_TYPE = 'application/vnd.aws.lambda.error+json'
    FOR_EVER_S = 100 * 365 * 24 * 3600
    private_constant :FOR_EVER_S

    # The API is there and answers no event: nothing is left to do.
    class Unavailable < StandardError; end

    def initialize(address)
      host, port = address.split(':')
      @http = Net::HTTP.new(host, port.to_i, nil) # nil: no proxy, whatever the function's variables say
      @http.open_timeout = 1
      @http.read_timeout = nil
      @http.write_timeout = nil
      @http.keep_alive_timeout = FOR_EVER_S
      @http.max_retries = 0
    end

    # Waits for the next event.
    def next_invocation
      answer = request(Net::HTTP::Get.new('/2018-06-01/runtime/invocation/next'))
      raise Unavailable, "next invocation: #{answer.code} #{answer.body}" unless answer.is_a?(Net::HTTPOK)

      Invocation.new(answer)
    end

    def respond(invocation, body, content_type)
      post("invocation/#{invocation.request_id}/response", body, 'Content-Type' => content_type)
    end

    def fail(invocation, failure)
      post("invocation/#{invocation.request_id}/error", failure.to_json, headers_of(failure))
    end

    def fail_init(failure)
      post('init/error', failure.to_json, headers_of(failure))
    end

    private

    def headers_of(failure)
      { 'Content-Type' => ERROR_TYPE, 'Lambda-Runtime-Function-Error-Type' => failure.type,
        'Lambda-Runtime-Function-XRay-Error-Cause' => failure.cause }.compact
    end

    # What is not accepted, an answer that is too large for instance, has its outcome already: the caller heard of it.
    def post(path, body, headers)
      message = Net::HTTP::Post.new("/2018-06-01/runtime/#{path}", headers)
      message.body = body
      answer = request(message)
      warn "Runtime API: #{path}: #{answer.code} #{answer.body}" unless answer.is_a?(Net::HTTPSuccess)
    rescue IOError, SystemCallError => e
      warn "Runtime API: #{path}: #{e.message}"
      @http.finish if @http.started?
    end

    def request(message)
      @http.start unless @http.started?
      @http.request(message)
    end
  end
end
